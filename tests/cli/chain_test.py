# SPDX-License-Identifier: Apache-2.0
"""Phases of rounds in jobs of their own, as `submit` chains them, but started by hand: decisions and bits of one job."""
import json
import re
import shutil
import signal
import unittest

from iterate_test import ITERATE, RoundsRun
from job import DONE, INTERRUPTED, RECIPE, SYSTEM, TARGET_NOT_MET, USAGE, polyphase
from search_runs import RANKS_PER_TRIAL, VALUES, SearchTest

MOST_JOBS = 60
NEXT_JOB = re.compile(r"^go_on '(trials|phase) (\S+) \(rounds? ([\d ]+)\)' .*\|\| return$", re.MULTILINE)


def chain(number, *phases):
    """Jobs of a round: of an array or not, the phase, its rounds."""
    return [(False, phase, [number]) for phase in phases]


FIRST = chain(1, "pretrain", "tags", "topic")  # what `submit` begins with


class ChainTest(SearchTest):
    def new_chain(self, name, ranks=None, **values):
        run = self.new_search(name, 0, **values)
        run.ranks = ranks
        self.give_scripts(run)
        return run

    def give_scripts(self, run):
        (run.path / "slurm").mkdir(parents=True)
        for stem in ("01-pretrain", "02-tags", "03-topic"):
            (run.path / "slurm" / f"{stem}.sbatch").write_text("")

    def next_jobs(self, run):
        """What the last job had submitted."""
        script = run.path / "slurm" / "next.sh"
        if not script.exists():
            return []
        text = script.read_text()
        script.unlink()
        return [(kind == "trials", phase, [int(number) for number in rounds.split()])
                for kind, phase, rounds in NEXT_JOB.findall(text)]

    def train(self, run, phase, number):
        self.assert_exit(run.go("--phase", phase, "--trial", number), DONE)

    def go_on(self, run, first=tuple(FIRST), train=None, moments=()):
        """From job to job to the end: all of them, and the last exit status. The jobs of an array work at the same time unless
        `train` says how; others are killed once at each of the moments, and then started again."""
        done, queue, moments, code = [], list(first), list(moments), None
        while queue:
            job = is_array, phase, rounds = queue.pop(0)
            done.append(job)
            self.assertLess(len(done), MOST_JOBS, done)
            if is_array and train is not None:
                for number in rounds:
                    train(phase, number)
                continue
            started = [run.start("--phase", phase, "--trial" if is_array else "--round", number) for number in rounds]
            if not is_array and moments and started[0].freeze_when(moments[0]):
                started[0].kill()
                started[0].wait()
                self.next_jobs(run)  # its script was killed with it
                del moments[0]
                queue.insert(0, done.pop())
                continue
            outcomes = [one.wait() for one in started]
            queue += self.next_jobs(run)
            for outcome in outcomes if queue else ():
                self.assert_exit(outcome, DONE)
            code = outcomes[-1].code
        self.assertEqual(moments, [], "they never came")
        return done, code

    def assert_goes_on(self, run, *arguments, straight=None, **how):
        jobs, code = self.go_on(run, *arguments, **how)
        self.assertEqual(code, TARGET_NOT_MET)
        self.assert_same_search(run, straight)
        return jobs

    def test_arrays_of_trials_decide_as_one_job(self):
        run = self.new_chain("arrays", ranks=2)
        jobs = self.assert_goes_on(run)
        # Trials 2 and 4 take a phase of those before them; of the second rung, one trial stays with both.
        self.assertEqual(jobs[:8], [*FIRST, (True, "tags", [2, 4]), (True, "topic", [2, 4]), *chain(2, "topic"),
                                    (True, "topic", [3, 5]), *chain(3, "topic")])
        self.assertFalse(run.has("round-*/status.json") or run.has("round-*/starts.json"), "taken in")

    def test_one_run_of_rounds_is_a_chain_of_phases_jobs(self):
        recipe, gate = self.texts / "rounds.yaml", "    task: {kind: tagging}\n"
        recipe.write_text((RECIPE.read_text() + ITERATE).replace(gate, "    gate: {}\n" + gate))
        straight, run = (RoundsRun(self.scratch / name, self.texts, recipe) for name in ("rounds", "rounds-chain"))
        self.assert_exit(straight.go(ranks=None), DONE)
        self.give_scripts(run)
        jobs, code = self.go_on(run, chain(1, "pretrain", "topic"))
        self.assertEqual(code, DONE)
        own = [[use["name"] for use in round["phases"] if use["round"] == round["round"]]
               for round in straight.decisions()["rounds"]]
        self.assertEqual(own[:2], [["pretrain", "topic"], ["tags", "topic"]])
        self.assertEqual(jobs, [job for number, phases in enumerate(own, 1) for job in chain(number, *phases)],
                         "a job a phase, and none behind the target")
        self.assert_same_search(run, straight)

    def test_trial_that_is_stopped_or_killed_goes_on(self):
        run = self.new_chain("stopped", ranks=2)

        def train(phase, number):
            folder = f"round-{number}/03-topic"
            if phase != "topic":
                return self.train(run, phase, number)
            job = run.start("--phase", phase, "--trial", number)
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
            outcome = run.go("--phase", phase, "--trial", number)
            self.assert_exit(outcome, DONE)
            self.assert_says(outcome, "going on from step")

        self.assert_goes_on(run, train=train)

    def test_job_that_decides_may_be_killed_anywhere(self):
        run = self.new_chain("killed")
        is_left = (run.path / "slurm" / "next.sh").exists
        self.assert_goes_on(run, moments=[is_left, lambda: run.has("round-2/03-topic/valid-samples.jsonl"), is_left])

    def test_trial_that_diverges_is_left_to_be_judged(self):
        rates = "{phases.tags.optimizer.learning_rate: [1e-3, 3e-3], phases.topic.optimizer.learning_rate: [1e30, 3e-3]}"
        straight, run = self.new_search("diverged", 0, **{VALUES: rates}), self.new_chain("diverged-chain", **{VALUES: rates})
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        array = [(True, "tags", [2, 4]), (True, "topic", [2, 4])]
        for _, phase, rounds in FIRST:
            self.assert_exit(run.go("--phase", phase, "--round", *rounds), DONE)
        self.assertEqual(self.next_jobs(run), array + chain(2, "topic"))
        for _, phase, rounds in array:
            for number in rounds:
                self.train(run, phase, number)
        diverged = run.path / "round-2" / "03-topic" / "metrics.jsonl"
        written = diverged.stat().st_mtime_ns
        lost = self.new_chain("diverged-lost", **{VALUES: rates})
        shutil.copytree(run.path, lost.path, dirs_exist_ok=True)
        for status in lost.path.glob("round-*/status.json"):
            status.unlink()
        jobs, code = self.go_on(lost, chain(2, "topic"))
        self.assertEqual(code, TARGET_NOT_MET)
        self.assertEqual(sum(number in rounds and is_array and phase == "topic" for is_array, phase, rounds in jobs
                             for number in (2, 4)), 2, "trained again once, and then known to diverge")
        self.assertEqual(lost.decisions(), straight.decisions())
        self.assert_goes_on(run, chain(2, "topic"), straight=straight)
        self.assertEqual(diverged.stat().st_mtime_ns, written, "it is not trained once more to be judged")

    def test_phase_that_diverges_ends_its_round_in_the_last_phases_job(self):
        rate = {"phases.tags.optimizer.learning_rate": 1e30, VALUES: "{phases.tags.optimizer.learning_rate: [1e-3, 3e-3]}"}
        straight, run = self.new_search("ended", 0, **rate), self.new_chain("ended-chain", **rate)
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        states = {phase["folder"]: phase["state"] for phase in straight.status()["phases"]}
        self.assertEqual((states["round-1/02-tags"], states["round-1/03-topic"]), ("failed", "pending"))
        jobs = self.assert_goes_on(run, straight=straight)
        self.assertEqual(jobs[:3], FIRST)

    def test_one_job_goes_on_where_a_chain_stopped(self):
        run = self.new_chain("mixed")
        for _, phase, rounds in FIRST:
            self.assert_exit(run.go("--phase", phase, "--round", *rounds), DONE)
        for phase in ("tags", "topic"):
            self.train(run, phase, 4)
        script = run.path / "slurm" / "next.sh"
        stale = script.read_text()
        self.assertRegex(stale, NEXT_JOB)
        self.assert_exit(run.go(), TARGET_NOT_MET)
        self.assertFalse(script.exists(), "the script of a job that was requeued meanwhile would read it")
        self.assert_same_search(run)
        script.write_text(stale)
        self.assert_exit(run.go("--phase", "topic", "--round", 1), TARGET_NOT_MET)
        self.assertEqual(self.next_jobs(run), [])

    def test_trials_and_the_job_that_decides_never_work_at_once(self):
        run = self.new_chain("at-once")
        for _, phase, rounds in FIRST:
            self.assert_exit(run.go("--phase", phase, "--round", *rounds), DONE)
        self.train(run, "tags", 2)
        trial = run.start("--phase", "topic", "--trial", 2)
        self.assertTrue(trial.freeze_when(lambda: len(run.steps_in("round-2/03-topic")) >= 1))
        for arguments in (["--phase", "topic", "--round", 2], ["--trial", 2], []):
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
        jobs = self.assert_goes_on(run)
        self.assertEqual([job for job in jobs if job[0] or job not in FIRST and job[1] != "topic"], [])

    def test_what_is_no_job_of_a_chain_is_refused(self):
        run = self.new_chain("refused")
        for arguments, words in ((["--trial", 3], "no round 3 is to be trained"),
                                 (["--phase", "topic", "--round", 2], "1 rounds are decided"),
                                 (["--phase", "topic", "--trial", 1, "--round", 1], "excludes"),
                                 (["--round", 1], "--phase"), (["--trial", 0], "--trial")):
            outcome = run.go(*arguments)
            self.assertNotEqual(outcome.code, DONE)
            self.assert_says(outcome, words)
        shutil.rmtree(run.path)
        first = ("--phase", "pretrain", "--round", 1)
        outcome = run.go(*first)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "no script 01-pretrain.sbatch", "polyphase submit")
        plain = self.new_run("plain")
        self.assert_exit(plain.go(*first), USAGE)
        self.assertFalse(plain.path.exists())


if __name__ == "__main__":
    unittest.main()
