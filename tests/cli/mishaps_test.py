# SPDX-License-Identifier: Apache-2.0
"""A full disk, a disk that became read-only, too many open files, a second job, a clock that was set back: each is said
clearly, the last checkpoint stays whole, and afterwards the same command goes on to the same bits."""
import json
import os
import resource
import signal
import unittest

from fail_io import FailIo
from job import DONE, SYSTEM, RoadTest, polyphase

YEAR_SECONDS = 365 * 24 * 3600


class MishapsTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight")
        outcome = cls.straight.go(ranks=None)
        assert outcome.code == DONE, outcome

    def running(self, name, plan=None):
        """A run, and its job, which stands still behind the first checkpoint."""
        run = self.new_run(name)
        job = FailIo(run, self.scratch, **plan).start() if plan else run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: run.checkpoints("pretrain")))
        return run, job

    def go_on(self, job):
        job.signal_ranks(signal.SIGCONT)
        return job.wait()

    def assert_stopped_by(self, outcome, run, *words):
        self.assert_exit(outcome, SYSTEM)
        self.assert_says(outcome, *words)
        self.assert_exit(polyphase("verify", run.checkpoints("pretrain")[-1]), DONE)

    def assert_goes_on(self, run):
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertEqual(set(run.states().values()), {"done"})
        self.assert_same_road(run, self.straight)

    def test_disk_that_is_full_after_some_bytes(self):
        whole = self.new_run("whole")
        FailIo(whole, self.scratch).start().wait()
        written = sum(f.stat().st_size for f in whole.path.rglob("*") if f.is_file())
        # During the preparation, pretraining, and the phases behind it.
        for number, room in enumerate((1000, written // 8, written // 3, written * 2 // 3)):
            with self.subTest(room=room):
                run = self.new_run(f"full-{number}")
                outcome = FailIo(run, self.scratch, room=room).start().wait()
                self.assert_exit(outcome, SYSTEM)
                self.assert_says(outcome, run.path, "No space left on device", "bytes free")
                for checkpoint in run.checkpoints("pretrain")[-1:]:
                    self.assert_exit(polyphase("verify", checkpoint), DONE)
                self.assert_goes_on(run)

    def test_run_folder_that_is_read_only(self):
        run, job = self.running("read-only")
        job.kill()
        job.wait()
        before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
        outcome = FailIo(run, self.scratch, refuse=1).start().wait()
        self.assert_stopped_by(outcome, run, run.path, "Read-only file system")
        self.assertEqual({p: p.stat().st_mtime_ns for p in run.path.rglob("*")}, before)
        self.assert_goes_on(run)

    def test_disk_that_becomes_read_only_under_a_running_job(self):
        counted = self.new_run("counted")
        counting = FailIo(counted, self.scratch)
        self.assert_exit(counting.start().wait(), DONE)
        committed = [call.number for call in counting.calls()
                     if call.name == "rename" and call.path.endswith("pretrain/checkpoints/step-000005")]
        run = self.new_run("becomes-read-only")
        outcome = FailIo(run, self.scratch, refuse=1, at=committed[0] + 20).start().wait()
        self.assert_stopped_by(outcome, run, run.path, "Read-only file system")
        self.assert_goes_on(run)

    def test_too_many_open_files(self):
        run, job = self.running("open-files")
        resource.prlimit(job.process.pid, resource.RLIMIT_NOFILE, (3, 3))  # all numbers below are taken
        self.assert_stopped_by(self.go_on(job), run, run.path, "Too many open files")
        self.assert_goes_on(run)

    def test_second_job_on_the_same_folder(self):
        run, job = self.running("two-jobs")
        for ranks in (None, 2):
            outcome = run.go(ranks=ranks)
            self.assert_stopped_by(outcome, run, f"{run.path / 'run.lock'}: the run is in use by process {job.process.pid}")
        self.assert_exit(self.go_on(job), DONE)
        self.assert_same_road(run, self.straight)

    def test_clock_that_was_set_back(self):
        run, job = self.running("clock")
        job.kill()
        job.wait()
        newest = run.checkpoints("pretrain")[-1]
        os.utime(newest, (0, 0))  # what is newest is told by steps, not by dates
        job = FailIo(run, self.scratch, clock=-YEAR_SECONDS).start()
        self.assertTrue(job.freeze_when(lambda: run.checkpoints("tags")))
        job.kill()
        outcome = job.wait()
        self.assert_says(outcome, f"going on from step {int(newest.name[-6:])}")
        starts = [start["begun"] for start in json.loads((run.path / "starts.json").read_text())]
        self.assertLess(starts[1], starts[0] - YEAR_SECONDS // 2)  # the program did see that clock
        self.assert_goes_on(run)
        self.assert_exit(polyphase("status", run.path), DONE)


if __name__ == "__main__":
    unittest.main()
