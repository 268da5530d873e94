# SPDX-License-Identifier: Apache-2.0
"""soak.py N: one chain of Slurm jobs, interrupted N times in turn by a warning of its time's end, preemption, cancelling,
the death of a rank, the loss of the node, and a rank that stands still. Its losses and digests must be those of an undisturbed run."""
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from cluster import Cluster, NoSlurm, below  # noqa: E402
from job import DONE, PATIENCE_SECONDS, Run, write_texts  # noqa: E402
from slurm_run import SlurmRun, prepare_environment, until  # noqa: E402

STEPS_A_CYCLE = 200  # of the whole run: more than a cycle takes on a fast machine, so that it does not end before the last one
SECONDS_A_CYCLE = 20  # that these steps may take on a busy machine
PHASES = ("pretrain", "tags", "topic")


class Soak:
    def __init__(self, cluster, run, draw):
        self.cluster, self.run, self.draw, self.num_starts = cluster, run, draw, 1

    def running(self):
        """The job that runs, when it has trained some steps of its own."""
        for number, state in self.run.states_of_jobs().items():
            if state == "RUNNING":
                return number
        return None

    def wait_for_steps(self):
        """Until the job was started again, and has made a few steps since."""
        until(lambda: len(self.run.starts()) > self.num_starts, lambda: f"another start; {self.run.told()}")
        self.num_starts = len(self.run.starts())
        num_steps, begun = self.draw.randint(1, 25), len(self.run.metrics("pretrain"))
        until(lambda: self.running() and len(self.run.metrics("pretrain")) >= begun + num_steps,
              lambda: f"{num_steps} steps; {self.run.told()}\n{self.run.output()[-3000:]}")

    def warn(self):
        self.cluster.say("scancel", "--batch", "--signal=USR1", self.running() or "1")

    def preempt(self):
        self.cluster.say("sbatch", "-p", "high", "-n8", "-o", "/dev/null", "--wrap", "sleep 0.5")

    def cancel(self):
        self.cluster.say("scancel", self.running() or "1")
        self.resubmit()

    def lose_node(self):
        self.cluster.lose_node()
        self.cluster.start_node()

    def kill_rank(self):
        """Not asked for, so the job fails, and its chain with it."""
        ranks = self.run.ranks_of("")
        if not ranks:
            return
        os.kill(self.draw.choice(ranks), signal.SIGKILL)
        self.resubmit()

    def stop_rank(self):
        """The watchdog ends the job, which goes on."""
        self.run.stop_rank(self.running() or "1", self.draw.randrange(2))

    def resubmit(self):
        self.run.wait_until_ended()
        self.run.submitted()

    def cycle(self, number):
        self.wait_for_steps()
        ways = (self.warn, self.preempt, self.cancel, self.kill_rank, self.lose_node, self.stop_rank)
        way = ways[number % len(ways)]
        at = len(self.run.metrics("pretrain"))
        way()
        print(f"{number + 1}: {way.__name__} at step {at}, {len(self.run.starts())} starts", flush=True)


def main(num_cycles):
    prepare_environment()
    began, draw = time.monotonic(), random.Random(num_cycles)
    with tempfile.TemporaryDirectory(prefix="polyphase-soak-") as folder:
        folder = Path(folder)
        texts = folder / "texts"
        texts.mkdir()
        write_texts(texts)
        values = {"phases.pretrain.stop.steps": STEPS_A_CYCLE * num_cycles, "limits.watchdog": 10}
        straight = Run(folder / "straight", texts, **values)
        patience = PATIENCE_SECONDS + SECONDS_A_CYCLE * num_cycles
        outcome = straight.start().wait(patience)
        assert outcome.code == DONE, outcome
        with Cluster(folder / "slurm") as cluster:
            run = SlurmRun(cluster, folder / "run", texts, **values)
            run.submitted()
            soak = Soak(cluster, run, draw)
            for number in range(num_cycles):
                soak.cycle(number)
            run.wait_until_ended(patience)
            print(run.told())
            assert set(run.states().values()) == {"done"}, run.output()[-4000:]
            for phase in PHASES:
                assert run.steps(phase) == straight.steps(phase), f"other losses in {phase}"
                assert run.digests(phase) == straight.digests(phase), f"other parameters in {phase}"
            print(f"soak: {num_cycles} interruptions, {len(run.starts())} starts, the same losses and digests to the last bit, "
                  f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    except NoSlurm as reason:
        sys.exit(f"no Slurm to soak in: {reason}")
