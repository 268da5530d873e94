# SPDX-License-Identifier: Apache-2.0
"""A rank that does nothing any more is found, and the job ends; killed ones end it at once."""
import json
import os
import signal
import time
import unittest

from job import DONE, Job, RoadTest, lives

STALLED = 76
PATIENCE = 8  # of the watchdog in the runs below, seconds


class StalledJobTest(RoadTest):
    """Two ranks that only count steps."""

    def stall(self, how):
        folder = self.scratch / how
        folder.mkdir()
        return Job([folder, how], ranks=2, program=os.environ["POLYPHASE_STALLED"]).wait()

    def test_looping_rank_is_found(self):
        outcome = self.stall("loop")
        self.assert_exit(outcome, STALLED)
        self.assertRegex(outcome.err, r"rank 0 on \S+: phase counting, step 3; waits for other ranks")
        self.assertRegex(outcome.err, r"rank 1 on \S+: phase counting, step 3; IS BUSY BY ITSELF")
        self.assertEqual(outcome.err.count("limits.watchdog"), 1, outcome)

    def test_stopped_rank_is_found(self):
        outcome = self.stall("stop")
        self.assert_exit(outcome, STALLED)
        self.assertRegex(outcome.err, r"rank 0 on \S+: phase counting, step 3; waits for other ranks")
        self.assertRegex(outcome.err, r"rank 1 on \S+: .*DOES NOT RUN")

    def test_slow_rank_is_waited_for(self):
        self.assert_exit(self.stall("pause"), DONE)


class WatchdogTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight")
        outcome = cls.straight.go()
        assert outcome.code == DONE, outcome

    def stop_rank_1(self, name, **values):
        """A run of which rank 1 is stopped in the middle of pretraining."""
        run = self.new_run(name, **{"limits.watchdog": PATIENCE})
        job = run.start(**values)
        self.assertTrue(job.freeze_when(lambda: len(run.steps("pretrain")) >= 12))
        first, second = job.ranks()
        return run, job, first, second

    def test_job_of_a_stopped_rank_ends_and_goes_on_exactly(self):
        self.check_stopped_rank("stopped")

    def test_job_of_a_stopped_stage_ends_and_goes_on_exactly(self):
        self.check_stopped_rank("stopped-stage", **{"parallel.pipeline": 2})

    def check_stopped_rank(self, name, **values):
        run, job, first, second = self.stop_rank_1(name, **values)
        os.kill(first, signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, STALLED)
        self.assert_says(outcome, f"no rank got on for {PATIENCE} s", "DOES NOT RUN", "phase pretrain")
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)
        starts = json.loads((run.path / "starts.json").read_text())
        self.assertEqual(["the watchdog ended it" in start["reason"] for start in starts], [True, False])
        self.assertNotIn('class="running"', (run.path / "report.html").read_text())

    def test_job_that_was_suspended_as_a_whole_goes_on(self):
        run, job, *ranks = self.stop_rank_1("suspended")
        time.sleep(2 * PATIENCE)
        for rank in ranks:
            os.kill(rank, signal.SIGCONT)
        self.assert_exit(job.wait(), DONE)
        self.assert_same_road(run, self.straight)

    def test_killed_rank_ends_the_job_at_once(self):
        tries = int(os.environ.get("POLYPHASE_TRIES", 3))
        run = self.new_run("killed")
        for number in range(tries):
            # At another moment every time, of a run that has not come to its end.
            job = run.start(**{"phases.pretrain.stop.steps": 100000, "parallel.pipeline": 1 + number % 2})
            at_least = len(run.steps("pretrain")) + 1 + number % 7
            self.assertTrue(job.wait_until(lambda: len(run.steps("pretrain")) >= at_least))
            ranks = job.ranks()
            began = time.monotonic()
            os.kill(ranks[number % 2], signal.SIGKILL)
            outcome = job.wait()
            seconds = time.monotonic() - began
            self.assertNotEqual(outcome.code, DONE, outcome)
            self.assertLess(seconds, 3, f"try {number}: {outcome}")
            self.assertFalse(any(lives(rank) for rank in ranks))


if __name__ == "__main__":
    unittest.main()
