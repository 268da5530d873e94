# SPDX-License-Identifier: Apache-2.0
"""The program reaches tensors by kernels and copies alone, as it must on a device: it runs under a library that ends it by
SIGSEGV where code of the host touches one (tests/host_access, POLYPHASE_FORBID_HOST_ACCESS)."""
import os
import signal
import unittest
from pathlib import Path

from job import DONE, INTERRUPTED, polyphase, settings
from used_runs import DECODER, ENCODER, ENCODER_DECODER, UsedRuns

LIBRARY = os.environ["POLYPHASE_FORBID_HOST_ACCESS"]


def short(*phases):
    return settings({f"phases.{phase}.stop.steps": 2 for phase in phases})


class HostAccessTest(UsedRuns):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.environ.update(KOKKOS_PROFILE_LIBRARY=LIBRARY, LD_PRELOAD=LIBRARY)

    def test_a_run_that_is_stopped_and_goes_on(self):
        run = self.new_run("stopped", **{"checkpoint.every_steps": 2, "phases.pretrain.stop.steps": 20})
        job = run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: len(run.steps("pretrain")) >= 3), "too fast")
        maps = Path(f"/proc/{job.process.pid}/maps").read_text()
        self.assertTrue(LIBRARY in maps, "the program did not load the library")
        job.signal_ranks(signal.SIGTERM)
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), INTERRUPTED)
        self.assert_exit(run.go(ranks=None), DONE)

    def test_every_task(self):
        run = self.trained("encoder", ENCODER, *short("pretrain", "topic", "pair", "number", "set", "tag", "crf", "answer"))
        for phase in ("topic", "crf"):
            self.metrics("--phase", phase, run=run)
            self.predict("--phase", phase, run=run, text="the old cat sees a big dog .\n")

    def test_decoders(self):
        run = self.trained("decoder", DECODER, *short("book", "topic", "lines", "turn"), *settings({"precision": "bf16"}))
        self.metrics("--phase", "lines", run=run)
        for phase in ("book", "turn"):
            outcome = polyphase("generate", run, "--phase", phase, "--prompt", "the old cat", "--max-new-tokens", 6)
            self.assert_exit(outcome, DONE)

    def test_encoder_and_decoder(self):
        run = self.trained("encoder-decoder", ENCODER_DECODER, *short("spans", "turn"))
        self.assert_exit(polyphase("generate", run, "--phase", "turn", "--prompt", "the old cat", "--max-new-tokens", 4), DONE)


if __name__ == "__main__":
    unittest.main()
