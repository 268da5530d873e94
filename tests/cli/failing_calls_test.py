# SPDX-License-Identifier: Apache-2.0
"""Whatever call to the file system fails, and however: the fault is named, and nothing is lost.

A job is run again and again; each time another of its calls fails, does half, or is its last. Then the same command,
undisturbed, must end with the bits of a run that nothing disturbed. A run from its start meets every fault of every name; one
that goes on, one rank of two, and preparation alone meet every name, with one of its faults. POLYPHASE_FAULTS: how many calls of
each are tried (1), or "all" calls with all faults.
"""
import concurrent.futures
import json
import os
import random
import re
import shutil
import unittest
from pathlib import Path

from fail_io import FailIo
from fake_slurm import FakeSlurm
from job import DONE, RECIPE, SYSTEM, RoadTest, polyphase

FAULTS = os.environ.get("POLYPHASE_FAULTS", "1")
NUM_JOBS = 2  # at a time; they wait for processes to start more than they compute
PHASES = ("pretrain", "tags")
SHORT = {"checkpoint.every_steps": 2, "checkpoint.keep": 3, "phases.pretrain.stop.steps": 4,
         "phases.pretrain.evaluate.every_steps": 2, "phases.tags.stop.steps": 2}
# Calls whose failure never passes for success: a promise of a file depends on each of them. (Only who watches a job reads what its
# ranks do at the moment, and it is written again.)
OF_THE_MOMENT = "/ranks.txt"
NEVER_IGNORED = ("write", "sync", "rename", "link", "truncate", "mkdir")
# Files that vouch for others, which are about to change.
VOUCHES = re.compile(r"/data/(tokenizer|[a-z]+/corpus|[a-z]+/parts/[a-z0-9-]+)\.json$")


def chosen(calls, every_fate):
    """Calls and what happens to them: of each name, or name and fate, so many as were asked for, drawn with a fixed seed."""
    groups = {}
    for call in calls:
        for fate in call.fates():
            groups.setdefault((call.name, fate if every_fate else None), []).append((call, fate))
    if FAULTS == "all":
        return [one for group in groups.values() for one in group]
    draw = random.Random(5)
    return [one for group in groups.values()
            for one in draw.sample(group, min(len(group), int(FAULTS)))]


def words_of(fate):
    return os.strerror(fate) if isinstance(fate, int) else fate


class FaultsTest(RoadTest):
    """What is tried on each call, for those who say what holds behind a fault, and at the end."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recipe = cls.scratch / "short.yaml"
        whole = RECIPE.read_text()
        cls.recipe.write_text(whole[:whole.index("  - name: topic")])

    @classmethod
    def made(cls, name, command, ranks=None, **values):
        run = cls.new_run(cls, name, **{**SHORT, **values})
        run.command, run.recipe = command, cls.recipe
        outcome = run.go(ranks=ranks)
        assert outcome.code == DONE, outcome
        return run

    def copy(self, run, name):
        copy = run.copy_to(self.scratch / name)
        copy.command, copy.options, copy.recipe = run.command, run.options, run.recipe
        return copy

    def calls_of(self, base, name, ranks, rank):
        """The calls of a job on a copy of `base` that nothing disturbs."""
        run = self.copy(base, name)
        counting = FailIo(run, self.scratch, **rank)
        self.assert_exit(counting.start(ranks).wait(), DONE)
        calls = counting.calls()
        self.assertGreater(len(calls), 10)
        for call in calls:
            call.path = call.path.removeprefix(str(run.path))
        shutil.rmtree(run.path)
        return calls

    def try_fault(self, base, name, call, fate, ranks, rank):
        run = self.copy(base, name)
        failing = FailIo(run, self.scratch, at=call.number, how=fate, **rank)
        outcome = failing.start(ranks).wait()
        self.assertNotIsInstance(outcome.code, str, outcome)  # hung
        calls = failing.calls()
        if len(calls) >= call.number:  # threads change the order a little: what was it this time?
            call = calls[call.number - 1]
            self.assert_told(outcome, call, fate)
        self.assert_intact(run, calls[:call.number - 1])
        again = run.go(ranks=ranks)
        self.assert_exit(again, DONE)
        self.assert_ended(run, ranks)
        shutil.rmtree(run.path)

    def assert_told(self, outcome, call, fate):
        """The error names the file and gives the system's words, or the job went on all the same."""
        if fate in ("kill", "torn") and (fate == "kill" or call.name == "write"):
            self.assertNotEqual(outcome.code, DONE, outcome)
        elif fate == "short" or outcome.code == DONE:
            self.assert_exit(outcome, DONE)
            if isinstance(fate, int) and not call.path.endswith(OF_THE_MOMENT):
                self.assertNotIn(call.name, NEVER_IGNORED, outcome)
                self.assertFalse(call.name == "remove" and VOUCHES.search(call.path), outcome)
        else:
            self.assert_exit(outcome, SYSTEM)
            # A folder is removed as a whole, and named so.
            self.assert_says(outcome, os.path.dirname(call.path) if call.name == "remove" else call.path,
                             words_of(fate))

    def try_faults(self, base, scenario, ranks=None, rank=None, every_fate=False):
        rank = {} if rank is None else {"rank": rank}
        faults = chosen(self.calls_of(base, f"{scenario}-count", ranks, rank), every_fate)

        def attempt(number):
            call, fate = faults[number]
            try:
                self.try_fault(base, f"{scenario}-{number}", call, fate, ranks, rank)
            except AssertionError as error:
                return f"{scenario}, call {call.number}, {call.name} {call.path}: {words_of(fate)}\n{error}"
            return None

        with concurrent.futures.ThreadPoolExecutor(NUM_JOBS) as pool:
            failures = [text for text in pool.map(attempt, range(len(faults))) if text]
        print(f"{scenario}: {len(faults)} faults, {len(failures)} of them not borne", flush=True)
        self.assertEqual(failures, [], "\n\n".join(failures))


class FailingRunTest(FaultsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = {ranks: cls.made(f"straight-{ranks}", "run", ranks) for ranks in (None, 2)}
        cls.prepared = cls.made("prepared", "prepare")
        cls.prepared.command = "run"

    def assert_intact(self, run, calls):
        """Every checkpoint that was committed before the fault is there, and the newest ones whole."""
        committed = {call.path for call in calls
                     if call.name == "rename" and "/checkpoints/step-" in call.path
                     and call.path.rsplit("-", 1)[1].isdigit()}
        there = {str(p) for phase in PHASES for p in run.checkpoints(phase)}
        self.assertLessEqual(committed, there)
        for phase in PHASES:
            for checkpoint in run.checkpoints(phase)[-1:]:
                self.assert_exit(polyphase("verify", checkpoint), DONE)

    def assert_ended(self, run, ranks):
        self.assertEqual(set(run.states().values()), {"done"})
        self.assert_same_road(run, self.straight[ranks], PHASES)
        for phase in PHASES:
            self.assertEqual(run.half_written(phase), [])

    def test_run_from_its_start(self):
        self.try_faults(self.prepared, "begin", every_fate=True)

    def test_run_that_goes_on_from_a_checkpoint(self):
        begun = self.copy(self.prepared, "begun")
        killing = FailIo(begun, self.scratch, at=self.number_of_second_commit(), how="kill")
        self.assertNotEqual(killing.start().wait().code, DONE)
        self.assertTrue(begun.checkpoints("pretrain"))
        self.try_faults(begun, "go-on")

    def number_of_second_commit(self):
        return max(call.number for call in self.calls_of(self.prepared, "count", None, {})
                   if call.name == "rename" and call.path.endswith("pretrain/checkpoints/step-000004"))

    def test_one_rank_of_two(self):
        for rank in (1, 0) if FAULTS == "all" else (1,):
            self.try_faults(self.prepared, f"rank-{rank}", ranks=2, rank=rank)


class FailingPreparationTest(FaultsTest):
    """Files are the same bytes on any number of ranks, and no other ones are left."""

    FEW = {"corpora.topics": "", "corpora.tags.valid": "", "corpora.tags.test": ""}  # files: each is prepared alike

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.contents(cls.made("straight", "prepare", **cls.FEW))

    @staticmethod
    def contents(run):
        return {str(file.relative_to(run.path)): file.read_bytes() for file in (run.path / "data").rglob("*")
                if file.is_file()}

    def assert_intact(self, run, calls):
        """What an index vouches for is there, and whole."""
        for index in (run.path / "data").glob("*/corpus.json"):
            self.assert_exit(polyphase("verify", index.parent), DONE)

    def assert_ended(self, run, ranks):
        found = self.contents(run)
        self.assertEqual(sorted(found), sorted(self.straight))
        self.assertEqual([name for name in found if found[name] != self.straight[name]], [])

    def test_preparation_from_nothing(self):
        nothing = self.new_run("nothing", **SHORT, **self.FEW)
        nothing.path.mkdir()
        nothing.command, nothing.recipe = "prepare", self.recipe
        self.try_faults(nothing, "prepare")

    def test_preparation_of_what_has_changed(self):
        changed = self.made("changed", "prepare", **self.FEW, **{"corpora.text.valid_fraction": 0.3})
        del changed.values["corpora.text.valid_fraction"]
        for rank in (None, 1) if FAULTS == "all" else (None,):
            self.try_faults(changed, f"changed-{rank}", ranks=None if rank is None else 2, rank=rank)


class FailingSubmitTest(FaultsTest):
    """Each seed has each job once, and its own notes have them all."""

    SEEDS = (3, 5)
    STEMS = ("00-prepare", "01-pretrain", "02-tags")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.slurm = FakeSlurm(cls.scratch / "slurm")
        cls.nothing = cls.new_run(cls, "nothing", **SHORT)
        cls.nothing.path.mkdir()
        cls.nothing.command, cls.nothing.options, cls.nothing.recipe = "submit", ("--seeds", "3,5"), cls.recipe

    def assert_intact(self, run, calls):
        pass

    def assert_ended(self, run, ranks):
        queued = self.slurm.jobs_of(run.path)
        self.assertEqual(sorted((stem, int(id.split("_")[1])) for id, stem in queued),
                         sorted((stem, place) for stem in self.STEMS for place in range(len(self.SEEDS))))
        for place, seed in enumerate(self.SEEDS):
            noted = json.loads((run.path / f"seed-{seed}" / "slurm" / "jobs.json").read_text())["jobs"]
            self.assertEqual([(job["id"], Path(job["script"]).stem) for job in noted],
                             sorted((one for one in queued if one[0].endswith(f"_{place}")), key=lambda one: one[1]))

    def test_seeds_are_submitted(self):
        self.try_faults(self.nothing, "submit")

    def test_seeds_that_are_killed_between_notes_have_no_job_twice(self):
        calls = self.calls_of(self.nothing, "notes", None, {})
        for seed in self.SEEDS:
            for call in [c for c in calls if c.name == "rename" and c.path == f"/seed-{seed}/slurm/jobs.json"]:
                self.try_fault(self.nothing, f"notes-{call.number}", call, "kill", None, {})


if __name__ == "__main__":
    unittest.main()
