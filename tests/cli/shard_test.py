# SPDX-License-Identifier: Apache-2.0
"""An optimizer and gradients divided over data-parallel ranks give the bits of those that are not, and they continue
each other."""
import signal
import unittest

from job import DONE, INTERRUPTED, RECIPE, USAGE, RoadTest, polyphase, settings

OPTIMIZER, GRADIENTS, WHOLE = ({"parallel.shard": value} for value in ("optimizer", "gradients", "none"))
# A table so large beside the layers that it is cut for four ranks, unless the rule looks at whole tensors.
LARGE_TABLE = {"model.width": 8, "model.num_heads": 2, "model.feed_forward": 8, "model.num_layers": 1,
               "model.max_tokens": 16}
# All that looks at parameters, gradients or their averages.
VALUES = {
    "checkpoint.every_steps": 3,
    "phases.pretrain.optimizer.max_grad_norm": 0.5,
    "phases.pretrain.optimizer.max_grad_value": "1e-2",
    "phases.pretrain.optimizer.layer_decay": 0.8,
    "phases.pretrain.l1": "1e-5",
    "phases.pretrain.average": "{decay: 0.9}",
    "phases.pretrain.stop.steps": 12,
    "phases.pretrain.evaluate": "{every_steps: 4, max_samples: 32}",
    "phases.tags.freeze": "['embedding.position*']",
    "phases.tags.unfreeze": "{from_top: 1, every_steps: 3}",
    "phases.tags.optimizer.state": "keep",
    "phases.tags.average": "{decay: 0.8}",
    "phases.topic.lora": "{rank: 2, match: ['*.attention.*']}",
    "phases.topic.optimizer.learning_rate": "2e-2",
    "phases.topic.average": "{decay: 0.5}",
    "phases.topic.evaluate.every_steps": 2,
    "phases.topic.stop.early": "{metric: valid.loss, patience: 50, keep: best}",
}
PHASES = ("pretrain", "tags", "topic")


class ShardTest(RoadTest):
    def evaluations(self, run, phase):
        return [(r["step"], r["split"], r["metrics"]) for r in run.metrics(phase) if r["kind"] == "evaluation"]

    def assert_same_run(self, run, straight):
        """Not the parts that tensors are stored in: some may be cut."""
        for phase in PHASES:
            self.assertEqual(run.steps(phase), straight.steps(phase), phase)
            self.assertEqual(self.evaluations(run, phase), self.evaluations(straight, phase), phase)
            mine, theirs = run.digests(phase), straight.digests(phase)
            self.assertEqual(mine.keys(), theirs.keys())
            for name in (n for n in mine if n.startswith("parameters/")):
                self.assertEqual(mine[name], theirs[name], name)
        for checkpoint in run.checkpoints("topic"):
            self.assert_exit(polyphase("verify", checkpoint), DONE)

    def stop(self, run, phase, steps, ranks, **values):
        job = run.start("--phase", phase, ranks=ranks, **values)
        self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= steps))
        job.signal_ranks(signal.SIGTERM)
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), INTERRUPTED)

    def test_whole_road_has_the_bits_of_one_rank(self):
        straight = self.new_run("straight", **VALUES)
        self.assert_exit(straight.go(ranks=None), DONE)
        for ranks, shard in ((2, OPTIMIZER), (4, GRADIENTS)):
            with self.subTest(f"{shard} on {ranks}"):
                run = self.new_run(f"road-{ranks}-{shard['parallel.shard']}", **VALUES, **shard)
                self.assert_exit(run.go(ranks=ranks), DONE)
                self.assert_same_run(run, straight)

    def test_checkpoints_continue_with_and_without(self):
        steps = 120  # so many that it can be stopped among them: they are short
        values = {**VALUES, **LARGE_TABLE, "phases.pretrain.stop.steps": steps,
                  "phases.pretrain.evaluate": "{every_steps: 30, max_samples: 32}", "checkpoint.every_steps": 20}
        straight = self.new_run("straight-large", **values)
        self.assert_exit(straight.go("--phase", "pretrain", ranks=None), DONE)
        for name, ranks, before, after, resumed_on in (
                ("to", 2, WHOLE, GRADIENTS, (4,)), ("from-2", 2, GRADIENTS, WHOLE, (4,)),
                ("from-4", 4, OPTIMIZER, WHOLE, (2,)), ("stays", 4, GRADIENTS, GRADIENTS, (None, 2))):
            stopped = self.new_run(name, **values)
            self.stop(stopped, "pretrain", 4, ranks, **before)
            self.assertLess(len(stopped.steps("pretrain")), steps)
            for others in resumed_on:
                with self.subTest(f"{name}, {others} ranks"):
                    run = stopped.copy_to(self.scratch / f"{name}-on-{others}")
                    self.assert_exit(run.go("--phase", "pretrain", ranks=others, **after), DONE)
                    self.assertEqual(run.steps("pretrain"), straight.steps("pretrain"))
                    self.assertEqual(self.evaluations(run, "pretrain"), self.evaluations(straight, "pretrain"))
                    if others is None or after is WHOLE:  # each tensor is one part, as the straight run's are
                        self.assertEqual(run.digests("pretrain"), straight.digests("pretrain"))

    def test_a_large_table_is_cut_between_rows(self):
        run = self.new_run("cut", **LARGE_TABLE, **GRADIENTS)
        self.assert_exit(run.go("--phase", "pretrain", ranks=4), DONE)
        parts = {name: len(digests) for name, digests in run.digests("pretrain").items()}
        self.assertGreater(parts["optimizer/moment1/embedding.token.weight"], 1)
        self.assertEqual(parts["parameters/embedding.token.weight"], 1)

    def test_optimizers_on_four_ranks_of_two_by_two(self):
        """Those that need more of a tensor than its elements; that every kind gives the same bits, tests/optimizer shows."""
        for kind in ("lamb", "adafactor", "muon"):
            with self.subTest(kind):
                optimizer = f"{{kind: {kind}, learning_rate: 2e-3}}"
                values = {"phases.pretrain.optimizer": optimizer, "phases.pretrain.stop.steps": 60, "parallel.tensor": 2,
                          **LARGE_TABLE}
                whole, divided = self.new_run(f"{kind}-whole", **values), self.new_run(f"{kind}-divided", **values)
                self.assert_exit(whole.go("--phase", "pretrain", ranks=2), DONE)
                self.stop(divided, "pretrain", 2, 4, **OPTIMIZER)
                self.assert_exit(divided.go("--phase", "pretrain", ranks=4, **GRADIENTS), DONE)
                self.assertEqual(divided.steps("pretrain"), whole.steps("pretrain"))
                for run, axes in ((whole, ("tensor",)), (divided, ("data", "tensor"))):
                    waits = {axis: [r[f"{axis}_wait_seconds"] / r["seconds"] for r in run.metrics("pretrain")
                                    if r["kind"] == "step"] for axis in ("data", "tensor")}
                    self.assertEqual({axis for axis, shares in waits.items() if max(shares) > 0}, set(axes))
                    self.assertLess(max(map(sum, zip(*waits.values()))), 1)

    def test_three_ranks_train_alike(self):
        values = {"phases.pretrain.batch.sequences": 12}
        runs = [self.new_run(f"three-{shard['parallel.shard']}", **values, **shard) for shard in (WHOLE, GRADIENTS)]
        for run in runs:
            self.assert_exit(run.go("--phase", "pretrain", ranks=3), DONE)
        self.assertEqual(runs[1].steps("pretrain"), runs[0].steps("pretrain"))

    def test_three_ranks_with_two_micro_batches_each_train_alike_within_rounding(self):
        # Dealt in turn, which is another tree where ranks are no power of two.
        values = {"phases.pretrain.batch.sequences": 24}
        runs = [self.new_run(f"three-by-two-{shard['parallel.shard']}", **values, **shard) for shard in (WHOLE, GRADIENTS)]
        for run in runs:
            self.assert_exit(run.go("--phase", "pretrain", ranks=3), DONE)
        losses = [[r["loss"] for r in run.metrics("pretrain") if r["kind"] == "step"] for run in runs]
        self.assertGreater(len(losses[0]), 5)
        self.assertEqual(len(losses[1]), len(losses[0]))
        for whole, divided in zip(*losses):
            self.assertAlmostEqual(divided / whole, 1, places=4)

    def test_converted_state_is_divided_like_any_other(self):
        optimizer, first = "{{kind: {}, learning_rate: 1e-3{}}}", "phases.pretrain.optimizer"
        for kinds in (("adamw", "lion", "adamw"), ("sgd", "adamw", "adafactor"), ("adafactor", "muon", "lamb")):
            values = {**LARGE_TABLE, **{f"phases.{phase}.optimizer": optimizer.format(kind, ", state: convert")
                                        for phase, kind in zip(PHASES, kinds)}, first: optimizer.format(kinds[0], "")}
            name = "-".join(kinds)
            whole = self.new_run(f"convert-{name}-whole", **values)
            self.assert_exit(whole.go(ranks=2), DONE)
            for ranks, shard in ((4, OPTIMIZER),) if kinds[0] == "adamw" else ((2, GRADIENTS),):
                with self.subTest(f"{name} on {ranks}"):
                    divided = self.new_run(f"convert-{name}-{ranks}", **values, **shard)
                    outcome = divided.go(ranks=ranks)
                    self.assert_exit(outcome, DONE)
                    self.assertRegex(outcome.text, f"topic: optimizer state of [1-9]\\d* parameters converted from {kinds[1]} "
                                                   f"to {kinds[2]}")
                    self.assert_same_run(divided, whole)

    def test_guard_skips_and_rolls_back_alike(self):
        # The learning rate rises until training breaks; after a rollback it stays below that.
        values = {"phases.topic.from": "", "phases.topic.stop": "{steps: 40}", "checkpoint.every_steps": 5,
                  "phases.topic.optimizer": "{kind: sgd, momentum: 0.9, max_grad_norm: 0, learning_rate: 1000, "
                                            "schedule: {kind: constant, warmup_steps: 40}}",
                  "phases.topic.guard": "{spike: 3, max_skipped: 1, max_rollbacks: 20, learning_rate_scale: 0.1}"}
        one, two = self.new_run("guard-one", **values), self.new_run("guard-two", **values, **GRADIENTS)
        codes = [run.go("--phase", "topic", ranks=ranks).code for run, ranks in ((one, None), (two, 2))]
        self.assertEqual(codes[0], codes[1])
        events = [[(r["step"], r["what"], r["detail"]) for r in run.metrics("topic")
                   if r["kind"] == "event" and r["what"] in ("skipped", "rolled back")] for run in (one, two)]
        self.assertIn("rolled back", {what for _, what, _ in events[0]})
        self.assertEqual(events[0], events[1])
        self.assertEqual(one.steps("topic"), two.steps("topic"))

    def test_plan_counts_the_share_of_the_rank_that_keeps_most(self):
        values = {"folder": self.texts, "model.width": 1024, "model.feed_forward": 4096, **OPTIMIZER,
                  "phases.tags.average": "{decay: 0.99}"}
        for ranks in (1, 2, 4):
            outcome = polyphase("plan", RECIPE, *settings(values), "--ranks", ranks)
            self.assert_exit(outcome, DONE)
            state = {words[0]: (int(words[1]), int(words[3])) for words in map(str.split, outcome.out.splitlines())
                     if words[0] in PHASES}
            for phase, kept in (("pretrain", 2), ("tags", 3), ("topic", 2)):
                parameters, mebibytes = state[phase]
                even = parameters * 4 * (1 + kept / ranks) / 2 ** 20
                self.assertGreaterEqual(mebibytes, even - 1, f"{phase} on {ranks}")
                self.assertLess(mebibytes, 1.1 * even, f"{phase} on {ranks}")

    def test_what_cannot_be_divided_is_refused(self):
        outcome = self.new_run("parameters", **{"parallel.shard": "parameters"}).go(ranks=2)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "parallel.shard", "parameters", "none", "optimizer", "gradients")


if __name__ == "__main__":
    unittest.main()
