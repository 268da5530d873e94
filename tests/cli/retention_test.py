# SPDX-License-Identifier: Apache-2.0
"""checkpoint.keep_best: beside the newest checkpoints stay those of the best evaluations, also over a kill."""
import json
import unittest

from job import DONE, RoadTest, polyphase

PHASE = "topic"
VALUES = {"checkpoint.every_steps": 4, "checkpoint.keep": 1, "checkpoint.keep_best": 3,
          "phases.topic.evaluate.every_steps": 1, "phases.topic.stop.steps": 14,
          # so high that the loss goes up and down
          "phases.topic.optimizer.learning_rate": 0.05}


def evaluations(run):
    return {r["step"]: r["metrics"] for r in run.metrics(PHASE)
            if r["kind"] == "evaluation" and r["split"] == "valid"}


def best(evaluated, count, metric="loss"):
    """Steps of the best evaluations, of equal ones the earlier."""
    sign = 1 if metric == "loss" else -1
    return sorted(evaluated, key=lambda step: (sign * evaluated[step][metric], step))[:count]


class RetentionTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight", **VALUES)
        outcome = cls.straight.go(ranks=None)
        assert outcome.code == DONE, outcome

    def steps_kept(self, run):
        return [int(checkpoint.name[-6:]) for checkpoint in run.checkpoints(PHASE)]

    def state(self, run):
        manifest = json.loads((run.checkpoints(PHASE)[-1] / "manifest.json").read_text())
        return manifest["state"]["phase_state"]

    def test_checkpoints_of_the_best_evaluations_stay(self):
        evaluated = evaluations(self.straight)
        last = VALUES["phases.topic.stop.steps"]
        self.assertEqual(sorted(evaluated), list(range(1, last + 1)))
        chosen = best(evaluated, 3)
        self.assertNotEqual(sorted(chosen), list(range(last - 2, last + 1)))  # the newest would prove nothing
        self.assertEqual(self.steps_kept(self.straight), sorted({*chosen, last}))
        for checkpoint in self.straight.checkpoints(PHASE):
            self.assert_exit(polyphase("verify", checkpoint), DONE)
        self.assertEqual([e["step"] for e in self.state(self.straight)["best_evaluations"]], chosen)

    def test_result_and_bits_are_those_without(self):
        run = self.new_run("without", **{**VALUES, "checkpoint.keep_best": 0})
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_road(run, self.straight)
        self.assertEqual(self.steps_kept(run), [VALUES["phases.topic.stop.steps"]])

    def test_killed_run_keeps_the_same(self):
        run = self.new_run("killed", **VALUES)
        for steps in (3, 7, 12):
            job = run.start(ranks=2)
            self.assertTrue(job.freeze_when(lambda: len(run.steps(PHASE)) >= steps))
            job.kill()
            job.wait()
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_road(run, self.straight)
        self.assertEqual(self.steps_kept(run), self.steps_kept(self.straight))
        self.assertEqual(self.state(run)["best_evaluations"], self.state(self.straight)["best_evaluations"])

    def test_the_metric_of_early_stopping_counts(self):
        early = {"phases.topic.stop.early": "{metric: valid.accuracy, patience: 100, keep: best}"}
        run = self.new_run("early", **VALUES, **early)
        self.assert_exit(run.go(ranks=None), DONE)
        chosen = best(evaluations(run), 3, "accuracy")
        self.assertEqual([e["step"] for e in self.state(run)["best_evaluations"]], chosen)
        self.assertEqual(self.state(run)["result_step"], chosen[0])
        self.assertLessEqual({*chosen}, {*self.steps_kept(run)})


if __name__ == "__main__":
    unittest.main()
