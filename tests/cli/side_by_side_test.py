# SPDX-License-Identifier: Apache-2.0
"""Trials of a search on groups of ranks, side by side: scores, decisions and results are those of one after the other."""
import json
import os
import shutil
import signal
import unittest

from job import DONE, INTERRUPTED, SYSTEM, TARGET_NOT_MET, USAGE, polyphase, settings
from search_runs import RANKS_PER_TRIAL, VALUES, SearchTest

STALLED = 76


class SideBySideTest(SearchTest):
    def times_in(self, run, folder):
        """When the phase's checkpoints were begun."""
        lines = (run.path / folder / "metrics.jsonl").read_text().splitlines()
        return [r["time"] for r in map(json.loads, lines) if r["kind"] == "save"]

    def layout_in(self, run, folder):
        checkpoint = sorted((run.path / folder / "checkpoints").glob("step-??????"))[-1]
        return json.loads((checkpoint / "manifest.json").read_text())["state"]["layout"]

    def assert_groups(self, run, ranks_per_trial):
        """Trials were trained on groups of so many ranks of four, and decided as one after the other."""
        self.assert_same_search(run)
        rounds = self.straight.rounds()
        self.assertEqual([r["state"] for r in rounds[:5]], ["kept"] + 4 * ["tried"])
        self.assertEqual(len(rounds), 7)
        self.assertEqual(self.layout_in(run, rounds[2]["folders"]["topic"])["data"], ranks_per_trial)
        # Fewer phases than groups: all ranks are at work, more of them a phase than asked for.
        self.assertEqual([self.layout_in(run, rounds[i]["folders"]["topic"])["data"] for i in (5, 6)], [2, 4])
        shares = {p["folder"]: p["share"] for p in run.status()["phases"]}
        self.assertEqual(shares[rounds[0]["folders"]["topic"]], 1)
        self.assertEqual(shares[rounds[2]["folders"]["topic"]], ranks_per_trial / 4)

    def test_groups_of_two_ranks_decide_as_one_trial_after_the_other(self):
        run = self.new_search("groups-of-2", 2)
        self.assert_exit(run.go(ranks=4), TARGET_NOT_MET)
        self.assert_groups(run, 2)

    def test_trials_of_a_rung_overlap_in_time_and_decide_as_one_after_the_other(self):
        run = self.new_search("overlap", 1)
        job = run.start(ranks=4)
        folders = [f"round-{number}/03-topic" for number in (2, 3, 4, 5)]
        # All four have begun, and none of them is at its end.
        self.assertTrue(job.freeze_when(lambda: all(1 <= len(run.steps_in(f)) < 12 for f in folders)))
        self.assertEqual({p["folder"] for p in run.status()["phases"] if p["state"] == "running"}, set(folders))
        self.assertEqual([r["state"] for r in run.rounds()], ["kept"] + 4 * ["running"])
        text = polyphase("status", run.path).text
        for number in (2, 3, 4, 5):
            self.assertIn(f"trial {number - 1} of 4, rung 1 of 2", text)
            self.assertRegex(text, rf"topic \(round {number}\): running, .* of 12, about")
        job.signal_ranks(signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, TARGET_NOT_MET)
        self.assert_says(outcome, "round 3: topic: done at step 12 of 12", "round 5: topic: ")
        self.assert_groups(run, 1)
        first, second = (self.times_in(run, folder) for folder in folders[:2])
        self.assertLess(max(first[0], second[0]), min(first[-1], second[-1]))
        for before, after in zip(folders, folders[1:]):
            self.assertLess(self.times_in(self.straight, before)[-1], self.times_in(self.straight, after)[0])

    def stop(self, run, number, to=None):
        """Stops all ranks, or rank `to` alone, while four trials are trained."""
        job = run.start(ranks=4)
        folders = [f"round-{n}/03-topic" for n in (2, 3, 4, 5)]
        self.assertTrue(job.freeze_when(lambda: all(1 <= len(run.steps_in(f)) < 10 for f in folders)))
        if to is None:
            job.signal_ranks(number)
        else:
            os.kill(job.ranks()[to], number)
        job.signal_ranks(signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, INTERRUPTED)
        states = {p["folder"]: (p["state"], p["reason"]) for p in run.status()["phases"]}
        for folder in folders:
            self.assertEqual(states[folder][0], "interrupted", outcome)
            self.assertIn(f"signal {int(number)}", states[folder][1])
        return outcome

    def test_stopped_search_goes_on_also_in_other_groups(self):
        run = self.new_search("stopped", 1)
        outcome = self.stop(run, signal.SIGTERM)
        self.assert_says(outcome, "stopped and saved (signal 15", "the same command goes on")
        for ranks, ranks_per_trial in ((2, 1), (4, 2), (2, 0)):
            with self.subTest(ranks=ranks, ranks_per_trial=ranks_per_trial):
                copy = self.new_search(f"stopped-{ranks}-{ranks_per_trial}", ranks_per_trial)
                shutil.copytree(run.path, copy.path)
                outcome = copy.go(ranks=ranks)
                self.assert_exit(outcome, TARGET_NOT_MET)
                self.assert_says(outcome, "going on from step")
                self.assert_same_search(copy)

    def test_signal_to_one_rank_stops_all_groups(self):
        run = self.new_search("one-signal", 1, **{"phases.topic.stop.steps": 200})
        self.stop(run, signal.SIGUSR1, to=3)

    def test_killed_search_makes_the_same_decisions(self):
        run = self.new_search("killed", 2)
        moments = [
            lambda: "ahead" in run.decisions(),
            lambda: run.has("round-3/03-topic/metrics.jsonl"),
            lambda: run.has("round-2/03-topic/valid-samples.jsonl"),
            lambda: run.has("round-5/03-topic/metrics.jsonl"),
            lambda: len(run.steps_in("round-7/03-topic")) >= 9,
        ]
        killed = 0
        for moment in moments:
            job = run.start(ranks=4)
            if job.freeze_when(lambda: run.has("decisions.json") and moment()):
                killed += 1
            job.kill()
            job.wait()
        self.assertGreaterEqual(killed, len(moments) - 1, "too few of the moments were met")
        self.assert_exit(run.go(ranks=4), TARGET_NOT_MET)
        self.assert_same_search(run)

    def test_trial_that_diverges_is_no_matter_to_those_beside_it(self):
        """Trial 2 was to use a phase of trial 1, which diverges: it is trained again, as it would have been."""
        rates = "{phases.tags.optimizer.learning_rate: [1e-3, 3e-3], phases.topic.optimizer.learning_rate: [1e30, 3e-3]}"
        straight, run = (self.new_search(name, ranks_per_trial, **{VALUES: rates})
                         for name, ranks_per_trial in (("diverged", 0), ("diverged-beside", 1)))
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        self.assertEqual(straight.rounds()[1]["score"], "nan")
        self.assertEqual(straight.rounds()[2]["folders"]["tags"], "round-3/02-tags")
        outcome = run.go(ranks=2)
        self.assert_exit(outcome, TARGET_NOT_MET)
        self.assert_says(outcome, "round 3: what was trained ahead")
        self.assert_same_search(run, straight)
        self.assertFalse(run.has("discarded"))

    def test_budget_counts_what_is_decided(self):
        """Steps: 32 of the first round, 14, 12 and 14 of three trials; the fourth would need 12."""
        straight, run = (self.new_search(name, ranks_per_trial, **{"iterate.max_steps": 80})
                         for name, ranks_per_trial in (("budget", 0), ("budget-beside", 1)))
        for search, ranks in ((straight, None), (run, 2)):
            self.assert_exit(search.go(ranks=ranks), TARGET_NOT_MET)
        self.assertEqual(len(straight.rounds()), 4)
        self.assertIn("needs about 12 steps, and 72 of 80 are spent", json.dumps(straight.decisions()))
        self.assert_same_search(run, straight)

    def test_what_was_trained_ahead_of_the_end_is_thrown_away(self):
        first, better = (self.straight.rounds()[i]["score"] for i in (0, 5))
        self.assertLess(better, first)
        self.assertIn("learning_rate: 0.001 → 0.0003", self.straight.rounds()[5]["changes"][0])
        values = {VALUES: "{phases.topic.optimizer.learning_rate: [3e-4, 1e-9, 1e-8]}",
                  "iterate.strategies.rates.search.rungs": 1, "iterate.confidence": 0,
                  "iterate.target.at_most": (first + better) / 2}
        straight, run = (self.new_search(name, ranks_per_trial, **values)
                         for name, ranks_per_trial in (("reached", 0), ("reached-beside", 1)))
        self.assert_exit(straight.go(ranks=None), DONE)
        self.assertIn("the target holds", straight.status()["iterate"]["ended"])
        self.assertEqual(len(straight.rounds()), 2)
        outcome = run.go(ranks=4)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "round 3: what was trained ahead", "round 4: what was trained ahead")
        self.assert_same_search(run, straight)
        self.assertEqual(sorted(p.name for p in run.path.glob("round-*")), ["round-1", "round-2"])

    def test_group_that_fails_ends_the_job_and_the_others_save(self):
        run = self.new_search("failed", 1, **{"phases.topic.stop.steps": 400})
        obstacle = run.path / "round-4" / "03-topic" / "metrics.jsonl"
        obstacle.mkdir(parents=True)
        outcome = run.go(ranks=4)
        self.assert_exit(outcome, SYSTEM)
        self.assert_says(outcome, "round 4: ", obstacle)
        states = {p["folder"]: (p["state"], p["reason"]) for p in run.status()["phases"]}
        self.assertEqual(states["round-4/03-topic"][0], "failed")
        for number in (2, 3, 5):
            self.assertEqual(states[f"round-{number}/03-topic"], ("interrupted", "another trial could not go on"))
        self.assertLess(len(run.steps_in("round-2/03-topic")), 200)

    def test_group_that_waits_for_a_longer_trial_is_not_stalled(self):
        run = self.new_search("waits", 1, **{
            VALUES: "{phases.topic.stop.steps: [2, 1500]}", "iterate.strategies.rates.search.rungs": 1,
            "iterate.target": "{phase: topic, metric: valid.accuracy, at_least: 1.0}",
            "checkpoint.every_steps": 100, "limits.watchdog": 1})
        self.assert_exit(run.go(ranks=2), DONE)
        short, long = (self.times_in(run, f"round-{number}/03-topic")[-1] for number in (2, 3))
        self.assertGreater(long - short, 2, "the machine is too fast for this test: give trial 2 more steps")

    def test_stopped_rank_of_a_group_of_one_is_found(self):
        run = self.new_search("stalled", 1, **{"limits.watchdog": 8})
        job = run.start(ranks=4)
        self.assertTrue(job.freeze_when(lambda: all(
            1 <= len(run.steps_in(f"round-{number}/03-topic")) < 12 for number in (2, 3, 4, 5))))
        for pid in job.ranks()[:3]:
            os.kill(pid, signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, STALLED)
        self.assert_says(outcome, "no rank got on for 8 s")
        self.assertRegex(outcome.err, r"rank 3 on \S+: .*DOES NOT RUN")
        self.assertRegex(outcome.err, r"rank 0 on \S+: phase topic, step 12; waits for other ranks")
        self.assert_exit(run.go(ranks=2), TARGET_NOT_MET)
        self.assert_same_search(run)

    def test_plan_tells_of_groups_and_unfit_ones_are_refused(self):
        run = self.new_search("planned", 2)
        arguments = [self.recipe, *settings({**run.values, RANKS_PER_TRIAL: 2})]
        outcome = polyphase("plan", *arguments, "--ranks", 4)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, 'search "rates": 2 trials side by side on 2 ranks each')
        for command in (polyphase("plan", *arguments, "--ranks", 1), run.go(ranks=None)):
            self.assert_exit(command, USAGE)
            self.assert_says(command, f"{RANKS_PER_TRIAL} is 2; of 1 ranks in groups of parallel.tensor 1")


if __name__ == "__main__":
    unittest.main()
