# SPDX-License-Identifier: Apache-2.0
"""Phases with every kind of regularisation stop, are killed, go on and split; results are what they say."""
import json
import signal
import unittest

from job import DONE, INTERRUPTED, RECIPE, RoadTest, polyphase, settings

PHASES = ("pretrain", "tags", "topic")
BEST = "{metric: valid.loss, patience: 50, keep: best}"
VALUES = {
    "checkpoint.every_steps": 3,
    "checkpoint.keep": 1,
    "model.layer_drop": 0.3,
    "model.embedding_dropout": 0.05,
    "phases.pretrain.r_drop": 0.5,
    "phases.pretrain.l1": "1e-5",
    "phases.pretrain.l2": "1e-3",
    "phases.pretrain.average": "{decay: 0.9}",
    "phases.pretrain.stop.steps": 12,
    "phases.tags.head_dropout": 0.3,
    "phases.tags.r_drop": 1.0,
    "phases.tags.average": "{decay: 0.8}",
    "phases.tags.unfreeze": "{from_top: 1, every_steps: 3}",
    # So fast that the loss on the validation part rises again.
    "phases.topic.optimizer.learning_rate": "2e-2",
    "phases.topic.optimizer.schedule.kind": "constant",
    "phases.topic.r_drop": 1.0,
    "phases.topic.average": "{decay: 0.5}",
    "phases.topic.evaluate.every_steps": 2,
    "phases.topic.stop.early": BEST,
    "phases.topic.stop.steps": 20,
}


def evaluations(run, phase, part):
    return {r["step"]: r["metrics"] for r in run.metrics(phase) if r["kind"] == "evaluation" and r["split"] == part}


class RegularisationTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight", **VALUES)
        outcome = cls.straight.go(ranks=None)
        assert outcome.code == DONE, outcome

    def metrics_of(self, run):
        return {p["name"]: p["metrics"] for p in run.status()["phases"]}

    def assert_same_run(self, run):
        self.assert_same_road(run, self.straight)
        self.assertEqual(self.metrics_of(run), self.metrics_of(self.straight))
        for phase in PHASES:
            for part in ("valid", "test"):
                self.assertEqual(evaluations(run, phase, part), evaluations(self.straight, phase, part), phase)

    def best_step(self, run=None):
        losses = {step: m["loss"] for step, m in evaluations(run or self.straight, "topic", "valid").items()}
        return min(losses, key=losses.get)

    def test_stopped_run_goes_on_with_the_same_bits_on_another_layout(self):
        run = self.new_run("stopped", **VALUES)
        for phase, ranks in zip(PHASES, (2, None, 2)):
            job = run.start(ranks=ranks)
            self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= 5))
            job.signal_ranks(signal.SIGTERM)
            job.signal_ranks(signal.SIGCONT)
            self.assert_exit(job.wait(), INTERRUPTED)
        self.assert_exit(run.go(ranks=4), DONE)
        self.assert_same_run(run)

    def test_killed_run_goes_on_with_the_same_result(self):
        run = self.new_run("killed", **VALUES)
        last = VALUES["phases.topic.stop.steps"]
        for phase, steps in (("pretrain", 7), ("tags", 8), ("topic", self.best_step() + 1), ("topic", last - 1)):
            job = run.start(ranks=2)
            self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= steps))
            job.kill()
            job.wait()
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_run(run)

    def test_tensor_parallel_ranks_stay_within_rounding(self):
        two = self.new_run("split", **VALUES, **{"parallel.tensor": 2})
        self.assert_exit(two.go("--phase", "pretrain", ranks=2), DONE)
        for mine, straight in zip(two.metrics("pretrain"), self.straight.metrics("pretrain")):
            for key in ("loss", "divergence", "penalty"):
                if key in straight:
                    self.assertAlmostEqual(mine[key], straight[key], delta=1e-4 * straight[key] + 1e-6)

    def test_best_checkpoint_is_kept_and_is_the_result(self):
        best, last = self.best_step(), VALUES["phases.topic.stop.steps"]
        self.assertLess(best, last)
        self.assertEqual([c.name for c in self.straight.checkpoints("topic")],
                         [f"step-{best:06d}", f"step-{last:06d}"])
        manifest = json.loads((self.straight.checkpoints("topic")[-1] / "manifest.json").read_text())
        self.assertEqual(manifest["state"]["phase_state"]["result_step"], best)
        metrics = self.metrics_of(self.straight)["topic"]
        for name, value in evaluations(self.straight, "topic", "valid")[best].items():
            self.assertEqual(metrics[f"valid.{name}"], value)
        outcome = polyphase("evaluate", self.straight.path, "--phase", "topic", "--part", "test", "--format", "json")
        self.assert_exit(outcome, DONE)
        again = json.loads(outcome.out)
        self.assertEqual({f"test.{k}": v for k, v in again["metrics"].items()},
                         {k: v for k, v in metrics.items() if k.startswith("test.")})
        self.assertIn(f"step-{best:06d}", again["checkpoint"])

    def test_the_best_average_is_handed_over(self):
        values = {**VALUES, "phases.tags.freeze": "['embedding*', 'layers.*', 'final.*']",
                  "phases.pretrain.stop.early": BEST, "phases.pretrain.evaluate.every_steps": 1,
                  # A rate that spoils the model at once.
                  "phases.pretrain.optimizer": "{kind: sgd, learning_rate: 3.0, schedule: {kind: constant}}",
                  "phases.pretrain.stop.steps": 4}
        for key in ("phases.tags.unfreeze", "model.layer_drop"):
            values.pop(key)
        run = self.new_run("handed-over", **values)
        self.assert_exit(run.go(ranks=2), DONE)
        self.assertEqual(len(run.checkpoints("pretrain")), 2)
        manifest = json.loads((run.checkpoints("pretrain")[0] / "manifest.json").read_text())
        given = {name: [part["digest"] for part in tensor["parts"]] for name, tensor in manifest["tensors"].items()}
        frozen = run.digests("tags")
        for name in ("layers.0.attention.query.weight", "layers.1.feed_forward.out.weight", "embedding.token.weight"):
            self.assertNotEqual(given[f"average/{name}"], given[f"parameters/{name}"])
            self.assertEqual([digest for _, digest in frozen[f"parameters/{name}"]], given[f"average/{name}"])

    def test_inspect_shows_averages(self):
        outcome = polyphase("inspect", self.straight.checkpoints("topic")[-1])
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "average/head.classification.output.weight")

    def test_plan_counts_an_average_only_where_one_is_asked_for(self):
        values = {"folder": self.texts, "model.width": 1024, "model.feed_forward": 4096,
                  "phases.tags.average": "{decay: 0.99}"}
        outcome = polyphase("plan", RECIPE, *settings(values))
        self.assert_exit(outcome, DONE)
        state = {words[0]: (int(words[1]), int(words[3])) for words in map(str.split, outcome.out.splitlines())
                 if words[0] in PHASES}
        for phase, floats in (("pretrain", 3), ("tags", 4), ("topic", 3)):
            parameters, mebibytes = state[phase]
            self.assertAlmostEqual(mebibytes, parameters * 4 * floats / 2 ** 20, delta=1, msg=phase)


if __name__ == "__main__":
    unittest.main()
