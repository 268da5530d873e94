# SPDX-License-Identifier: Apache-2.0
"""A run whose jobs a Slurm starts, and what the program, the queue and its files tell of it."""
import contextlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from job import DONE, PROGRAM, RECIPE, Run, settings  # noqa: E402

PATIENCE_SECONDS = 150
SHORT = {"phases.pretrain.stop.steps": 150}


def prepare_environment():
    """What jobs inherit: several of them share few cores here, so those that wait must not keep them."""
    os.environ.update(OMPI_MCA_mpi_yield_when_idle="1", OMP_WAIT_POLICY="passive",
                      OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", POLYPHASE=PROGRAM)


def until(condition, what, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            what = what() if callable(what) else what
            raise AssertionError(f"still waiting for {what} after {seconds} s")
        time.sleep(0.05)


def is_pending(pid, number):
    """Sent to a process that stands still, which has not heard it yet. OSError: there is no such process."""
    masks = re.findall(r"^(?:SigPnd|ShdPnd):\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


class SlurmRun(Run):
    """A run whose jobs Slurm starts."""

    def __init__(self, cluster, path, texts, recipe=RECIPE, **values):
        super().__init__(path, texts, **{"slurm.ranks": 2, "slurm.time": 600, **values})
        self.cluster, self.recipe = cluster, recipe

    def submit(self, *more):
        return self.cluster.run(PROGRAM, "submit", self.recipe, *settings(self.values), *more, cwd=self.path.parent)

    def submitted(self, *more):
        said = self.submit(*more)
        assert said.returncode == DONE, said.stdout
        return said.stdout

    def told(self):
        return self.cluster.run(PROGRAM, "status", self.path).stdout

    def records(self):
        """Of `submit`, and of the run's own jobs: of an array one a round."""
        records = json.loads((self.path / "slurm" / "jobs.json").read_text())["jobs"]
        lines = self.path / "slurm" / "jobs.txt"
        for line in lines.read_text().splitlines() if lines.exists() else []:
            what, id, script, after, *_ = line.split("|")
            array = re.fullmatch(r"trials (\S+) \(rounds (.*)\)", what)
            more = [(f"trial {array[1]} (round {n})", f"{id}_{n}") for n in array[2].split()] if array else [(what, id)]
            records += [{"what": w, "id": i, "script": script, "after": after} for w, i in more
                        if i not in {record["id"] for record in records}]
        return records

    def id_of(self, what):
        """The last one's; None: there is none yet."""
        return next((record["id"] for record in reversed(self.records()) if record["what"] == what), None)

    def starts(self):
        file = self.path / "starts.json"
        return json.loads(file.read_text()) if file.exists() else []

    def states_of_jobs(self):
        """By number: what Slurm's queue says."""
        ids = ",".join(sorted({record["id"].split("_")[0] for record in self.records()}))
        lines = self.cluster.say("squeue", "-h", "-r", "-t", "all", "-j", ids, "-o", "%i %T").split("\n")
        return dict(line.split() for line in lines if line.count(" ") == 1)

    def wait_until_ended(self, seconds=PATIENCE_SECONDS):
        live = {"PENDING", "RUNNING", "COMPLETING", "REQUEUED", "CONFIGURING"}

        def is_over():
            known = len(self.records())
            return not live & set(self.states_of_jobs().values()) and len(self.records()) == known  # else one came meanwhile

        until(is_over,
              lambda: f"the jobs of {self.path} to end: {self.told()}", seconds)

    def wait_for_step(self, phase, step):
        until(lambda: len(self.metrics(phase)) >= step, f"step {step} of {phase} in {self.path}")

    def ranks_of(self, job):
        """Process numbers, of all ranks that live."""
        return [pid for pid in self.cluster.job_processes(job) if self.cluster.name_of(pid) == Path(PROGRAM).name]

    def stop_rank(self, job, rank):
        """Lets one of its ranks stand still, if it is there."""
        for pid in self.ranks_of(job):
            with contextlib.suppress(OSError):
                if f"PMIX_RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGSTOP)

    def freeze_until_asked_to_stop(self, job, ask=lambda: None):
        """Its ranks stand still until SIGUSR1 waits for each, so that however fast they are they meet it in the middle.
        False: they were killed, for another test's job."""
        ranks = self.ranks_of(job)
        assert ranks, f"job {job} has no ranks: {self.told()}"
        for pid in ranks:
            os.kill(pid, signal.SIGSTOP)
        try:
            ask()
            until(lambda: all(is_pending(pid, signal.SIGUSR1) for pid in ranks), f"the signal to job {job}")
            return True
        except OSError:
            return False
        finally:
            for pid in ranks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def output(self):
        return "\n".join(f"---- {p.name}\n{p.read_text(errors='replace')}"
                         for p in sorted((self.path / "slurm").glob("*.out")))
