# SPDX-License-Identifier: Apache-2.0
"""Rounds in jobs of their own, as `submit` chains them, but started by hand: the decisions and the bits of one job."""
import json
import re
import shutil
import signal
import unittest

from iterate_test import ITERATE, RoundsRun
from job import DONE, INTERRUPTED, RECIPE, SYSTEM, TARGET_NOT_MET, USAGE, polyphase
from search_runs import RANKS_PER_TRIAL, VALUES, SearchTest

MOST_JOBS = 40


class ChainTest(SearchTest):
    def new_chain(self, name, ranks=None, **values):
        run = self.new_search(name, 0, **values)
        run.ranks = ranks
        self.give_scripts(run)
        return run

    def give_scripts(self, run):
        (run.path / "slurm").mkdir(parents=True)
        (run.path / "slurm" / "01-run.sbatch").write_text("")

    def next_jobs(self, run):
        """What the last job had submitted: the rounds of an array, or none; None: nothing follows."""
        script = run.path / "slurm" / "next.sh"
        if not script.exists():
            return None
        text = script.read_text()
        self.assertIn("go_on run " + str(run.path / "slurm" / "01-run.sbatch"), text)
        array = re.search(r"--array=(\S+)", text)
        return [int(number) for number in array[1].split(",")] if array else []

    def train(self, run, number):
        self.assert_exit(run.go("--trial", number), DONE)

    def go_on(self, run, train=None):
        """From job to job to the end: the rounds of each job's array, and the last exit status. The jobs of an array work at
        the same time unless `train` says how."""
        arrays = []
        for _ in range(MOST_JOBS):
            outcome = run.go("--chain")
            rounds = self.next_jobs(run)
            if rounds is None:
                return arrays, outcome.code
            self.assert_exit(outcome, DONE)
            arrays.append(rounds)
            if train is not None:
                for number in rounds:
                    train(number)
                continue
            jobs = [run.start("--trial", number) for number in rounds]
            for job in jobs:
                self.assert_exit(job.wait(), DONE)
        self.fail(f"{MOST_JOBS} jobs, and no end: {arrays}")

    def test_arrays_of_trials_decide_as_one_job(self):
        run = self.new_chain("arrays", ranks=2)
        arrays, code = self.go_on(run)
        self.assertEqual(code, TARGET_NOT_MET)
        # Trials 2 and 4 take a phase of those before them; of the second rung, one trial stays with both.
        self.assertEqual(arrays[:2], [[2, 4], [3, 5]])
        self.assert_same_search(run)
        self.assertFalse(run.has("round-*/status.json") or run.has("round-*/starts.json"), "taken in")

    def test_one_run_of_rounds_is_a_chain_of_jobs(self):
        recipe = self.texts / "rounds.yaml"
        recipe.write_text(RECIPE.read_text() + ITERATE)
        straight, run = (RoundsRun(self.scratch / name, self.texts, recipe) for name in ("rounds", "rounds-chain"))
        self.assert_exit(straight.go(ranks=None), DONE)
        self.give_scripts(run)
        arrays, code = self.go_on(run)
        self.assertEqual(code, DONE)
        self.assertEqual(arrays, [[]] * (len(straight.rounds()) - 1), "a job a round, and none behind the target")
        self.assert_same_search(run, straight)

    def test_trial_that_is_stopped_or_killed_goes_on(self):
        run = self.new_chain("stopped", ranks=2)

        def train(number):
            folder = f"round-{number}/03-topic"
            job = run.start("--trial", number)
            self.assertTrue(job.freeze_when(lambda: 6 <= len(run.steps_in(folder)) < 12))
            self.assertIn("running", {p["state"] for p in json.loads(
                (run.path / f"round-{number}" / "status.json").read_text())["phases"]})
            self.assertRegex(polyphase("status", run.path).text, rf"topic \(round {number}\): running, .* of (12|24)")
            if number % 2:
                job.kill()
                job.wait()
            else:
                job.signal_ranks(signal.SIGTERM)
                job.signal_ranks(signal.SIGCONT)
                self.assert_exit(job.wait(), INTERRUPTED)
            outcome = run.go("--trial", number)
            self.assert_exit(outcome, DONE)
            self.assert_says(outcome, "going on from step")

        _, code = self.go_on(run, train)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assert_same_search(run)

    def test_job_that_decides_may_be_killed_anywhere(self):
        run = self.new_chain("killed")
        moments = [lambda: self.next_jobs(run), lambda: run.has("round-2/03-topic/valid-samples.jsonl"),
                   lambda: self.next_jobs(run)]
        for moment in moments:
            for number in self.next_jobs(run) or []:
                self.train(run, number)
            job = run.start("--chain")
            self.assertTrue(job.freeze_when(lambda: run.has("decisions.json") and moment()))
            job.kill()
            job.wait()
        _, code = self.go_on(run)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assert_same_search(run)

    def test_trial_that_diverges_is_left_to_be_judged(self):
        rates = "{phases.tags.optimizer.learning_rate: [1e-3, 3e-3], phases.topic.optimizer.learning_rate: [1e30, 3e-3]}"
        straight, run = self.new_search("diverged", 0, **{VALUES: rates}), self.new_chain("diverged-chain", **{VALUES: rates})
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        self.assert_exit(run.go("--chain"), DONE)
        self.assertEqual(self.next_jobs(run), [2, 4])
        for number in (2, 4):
            self.train(run, number)
        diverged = run.path / "round-2" / "03-topic" / "metrics.jsonl"
        written = diverged.stat().st_mtime_ns
        lost = self.new_chain("diverged-lost", **{VALUES: rates})
        shutil.copytree(run.path, lost.path, dirs_exist_ok=True)
        for status in lost.path.glob("round-*/status.json"):
            status.unlink()
        arrays, code = self.go_on(lost)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assertEqual(arrays.count([2, 4]), 1, "trained again once, and then known to diverge")
        self.assertEqual(lost.decisions(), straight.decisions())
        _, code = self.go_on(run)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assertEqual(diverged.stat().st_mtime_ns, written, "it is not trained once more to be judged")
        self.assert_same_search(run, straight)

    def test_one_job_goes_on_where_a_chain_stopped(self):
        run = self.new_chain("mixed")
        self.assert_exit(run.go("--chain"), DONE)
        self.train(run, 4)
        self.assert_exit(run.go(), TARGET_NOT_MET)
        self.assertIsNone(self.next_jobs(run))
        self.assert_same_search(run)

    def test_trials_and_the_job_that_decides_never_work_at_once(self):
        run = self.new_chain("at-once")
        self.assert_exit(run.go("--chain"), DONE)
        trial = run.start("--trial", 2)
        self.assertTrue(trial.freeze_when(lambda: len(run.steps_in("round-2/03-topic")) >= 1))
        for arguments in (["--chain"], ["--trial", 2], []):
            outcome = run.go(*arguments)
            self.assert_exit(outcome, SYSTEM)
            self.assert_says(outcome, "round-2/run.lock: the run is in use by process")
        trial.signal_ranks(signal.SIGCONT)
        self.assert_exit(trial.wait(), DONE)
        job = run.start()
        self.assertTrue(job.freeze_when(lambda: len(run.steps_in("round-3/03-topic")) >= 1))
        outcome = run.go("--trial", 4)
        self.assert_exit(outcome, SYSTEM)
        self.assert_says(outcome, f"{run.path}/run.lock: the run is in use by process")
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), TARGET_NOT_MET)
        self.assert_same_search(run)

    def test_groups_of_ranks_stay_in_one_job(self):
        run = self.new_chain("groups", ranks=2, **{RANKS_PER_TRIAL: 1})
        arrays, code = self.go_on(run)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assertEqual([array for array in arrays if array], [])
        self.assert_same_search(run)

    def test_what_is_no_job_of_a_chain_is_refused(self):
        run = self.new_chain("refused")
        for arguments, words in ((["--trial", 3], "no round 3 is to be trained"),
                                 (["--trial", 1, "--chain"], "excludes"), (["--trial", 0], "--trial")):
            outcome = run.go(*arguments)
            self.assertNotEqual(outcome.code, DONE)
            self.assert_says(outcome, words)
        shutil.rmtree(run.path)
        outcome = run.go("--chain")
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "no script 01-run.sbatch", "polyphase submit")
        plain = self.new_run("plain")
        self.assert_exit(plain.go("--chain"), USAGE)
        self.assertFalse(plain.path.exists())


if __name__ == "__main__":
    unittest.main()
