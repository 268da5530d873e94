# SPDX-License-Identifier: Apache-2.0
"""A job that is killed at any moment goes on, by the same command, as if nothing had happened."""
import os
import signal
import unittest

from event_file import scalars, scalars_by_package, scalars_of_metrics
from job import DONE, RoadTest

SLOWLY = {"checkpoint.every_steps": 2, "phases.pretrain.stop.steps": 30}


class ResumeTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = {}
        for ranks in (None, 2):
            run = cls.new_run(cls, f"straight-{ranks}", **SLOWLY)
            outcome = run.go(ranks=ranks)
            assert outcome.code == DONE, outcome
            cls.straight[ranks] = run

    def kill_when(self, run, ranks, condition, victims):
        job = run.start(ranks=ranks)
        self.assertTrue(job.freeze_when(condition), "the moment never came")
        state = run.states()
        if victims == "job":
            job.kill()
        else:
            os.kill(job.ranks()[victims], signal.SIGKILL)
            job.signal_ranks(signal.SIGCONT)
        self.assertNotEqual(job.wait().code, DONE)
        self.assertIn("running", state.values())

    def kill_on_the_way(self, run, ranks):
        def steps(phase, number):
            return lambda: len(run.steps(phase)) >= number

        last = (ranks or 1) - 1
        for condition, victims in (
            (steps("pretrain", 1), last),
            (lambda: run.half_written("pretrain"), "job"),
            (steps("pretrain", 7), "job"),
            (lambda: run.half_written("pretrain") and steps("pretrain", 12)(), 0),
            (steps("pretrain", 30), last),
            (steps("tags", 1), "job"),
            (lambda: run.half_written("tags"), last),
            (lambda: run.half_written("topic"), "job"),
            (steps("topic", 11), 0),
        ):
            self.kill_when(run, ranks, condition, victims)

    def test_killed_job_goes_on_with_the_same_losses(self):
        for ranks in (None, 2):
            with self.subTest(ranks=ranks):
                run = self.new_run(f"killed-{ranks}", **SLOWLY)
                self.kill_on_the_way(run, ranks)
                self.assert_exit(run.go(ranks=ranks), DONE)
                self.assertEqual(set(run.states().values()), {"done"})
                self.assert_same_road(run, self.straight[ranks])
                for mine, straight in zip(run.status()["phases"],
                                          self.straight[ranks].status()["phases"]):
                    self.assertEqual(mine["metrics"], straight["metrics"])
                    self.assertEqual(mine["handover"], straight["handover"])
                    self.assertEqual(run.half_written(mine["name"]), [])
                    self.assert_events(run, mine["name"])

    def assert_events(self, run, phase):
        """TensorBoard's file has what metrics.jsonl has, each step once, however often the phase was killed."""
        file, expected = run.phase_folder(phase) / "events.out.tfevents.polyphase", scalars_of_metrics(run.metrics(phase))
        self.assertEqual(sorted(scalars(file)), expected)
        self.assertLessEqual({"train/loss", "train/learning_rate", "train/tokens_per_second", "valid/loss"},
                             {tag for tag, _, _ in expected})
        by_package = scalars_by_package(file)
        if by_package is not None:
            self.assertEqual(by_package, expected)


if __name__ == "__main__":
    unittest.main()
