# SPDX-License-Identifier: Apache-2.0
"""Phases with every kind of optimizer, with groups and with frozen parameters stop, go on and split like any other."""
import signal
import unittest

from job import DONE, INTERRUPTED, USAGE, RoadTest, polyphase, settings

KINDS = ("sgd", "adam", "adamw", "adamw, state_precision: bf16", "lamb", "adafactor", "lion", "muon")
STEPS = 10
FREEZE = "[embedding*, layers.0.*]"


class OptimizersTest(RoadTest):
    VALUES = {"checkpoint.every_steps": 3, "phases.pretrain.stop.steps": STEPS}

    def run_of(self, kind, name, **values):
        optimizer = f"{{kind: {kind}, learning_rate: 2e-3, schedule: {{kind: cosine, cycles: 2, warmup_steps: 2}}}}"
        return self.new_run(f"{kind.replace(', state_precision: ', '-')}-{name}", **{**self.VALUES, "phases.pretrain.optimizer": optimizer, **values})

    def straight(self, kind):
        return self.finished(self.run_of(kind, "straight"), "--phase", "pretrain", ranks=None)

    def stop_after(self, run, phase, steps, ranks):
        job = run.start(*(["--phase", phase] if phase == "pretrain" else []), ranks=ranks)
        self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= steps))
        job.signal_ranks(signal.SIGTERM)
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), INTERRUPTED)

    def test_stopped_run_goes_on_with_the_same_bits_on_another_layout(self):
        for kind in KINDS:
            with self.subTest(kind):
                straight, stopped = self.straight(kind), self.run_of(kind, "stopped")
                self.stop_after(stopped, "pretrain", 4, ranks=2)
                self.assertLess(len(stopped.steps("pretrain")), STEPS)
                self.assert_exit(stopped.go("--phase", "pretrain", ranks=None), DONE)
                self.assert_same_road(stopped, straight, ["pretrain"])

    def test_two_tensor_parallel_ranks_stay_within_rounding(self):
        for kind in KINDS:
            with self.subTest(kind):
                one, two = self.straight(kind), self.run_of(kind, "split", **{"parallel.tensor": 2})
                self.assert_exit(two.go("--phase", "pretrain", ranks=2), DONE)
                self.assertEqual(one.steps("pretrain")[-1][0], STEPS)
                for mine, straight in zip(two.steps("pretrain"), one.steps("pretrain")):
                    self.assertAlmostEqual(mine[1], straight[1], delta=1e-4 * straight[1], msg=f"step {mine[0]}")

    def frozen_run(self, name):
        return self.new_run(name, **{**self.VALUES, "phases.tags.freeze": FREEZE,
                                     "phases.topic.unfreeze": "{from_top: 1, every_steps: 3}"})

    def test_frozen_parameters_go_through_a_phase_unchanged_and_without_optimizer_memory(self):
        run = self.finished(self.frozen_run("frozen"), ranks=None)
        before, frozen, after = (run.digests(phase) for phase in ("pretrain", "tags", "topic"))
        for name, digest in frozen.items():
            stays = name.startswith(("parameters/embedding", "parameters/layers.0."))
            self.assertFalse("/embedding" in name and name.startswith("optimizer"), name)
            self.assertFalse("/layers.0." in name and name.startswith("optimizer"), name)
            if name.startswith("parameters/") and name in before:
                self.assertEqual(digest == before[name], stays, name)
        weight = "parameters/layers.0.attention.query.weight"
        self.assertNotEqual(after[weight], frozen[weight])
        self.assertIn("optimizer/moment1/layers.0.attention.query.weight", after)

    def test_frozen_phase_is_resumed_exactly_on_other_ranks(self):
        straight, stopped = self.finished(self.frozen_run("frozen"), ranks=None), self.frozen_run("stopped")
        self.stop_after(stopped, "tags", 4, ranks=2)
        self.stop_after(stopped, "topic", 5, ranks=2)
        self.assert_exit(stopped.go(ranks=None), DONE)
        self.assert_same_road(stopped, straight)

    def kept_run(self, name, **values):
        return self.new_run(name, **{**self.VALUES, "phases.tags.optimizer.state": "keep", **values})

    def test_kept_optimizer_state_goes_on_and_is_resumed_exactly(self):
        straight, reset = self.kept_run("kept"), self.new_run("reset", **self.VALUES)
        stopped = self.kept_run("kept-stopped")
        outcome = straight.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assert_exit(reset.go(ranks=None), DONE)
        self.assertRegex(outcome.text, r"tags: optimizer state of [1-9]\d* parameters kept")
        self.assertEqual(straight.steps("tags")[0][1], reset.steps("tags")[0][1])
        self.assertNotEqual(straight.steps("tags")[1][1], reset.steps("tags")[1][1])
        self.stop_after(stopped, "tags", 4, ranks=2)
        self.assert_exit(stopped.go(ranks=None), DONE)
        self.assert_same_road(stopped, straight)
        rounded = self.kept_run("kept-rounded", **{"phases.tags.optimizer.state_precision": "bf16"})
        outcome = rounded.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assertRegex(outcome.text, r"tags: optimizer state of [1-9]\d* parameters kept")
        for mine, exact in zip(rounded.steps("tags"), straight.steps("tags")):
            self.assertAlmostEqual(mine[1], exact[1], delta=1e-2 * exact[1], msg=f"step {mine[0]}")
        self.assertNotEqual(rounded.steps("tags")[-1][1], straight.steps("tags")[-1][1])

    def test_state_of_another_kind_is_reset_and_said(self):
        run = self.kept_run("kinds", **{"phases.pretrain.optimizer.kind": "lion"})
        outcome = run.go(ranks=2)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "tags: optimizer state reset: lion before, adamw now")

    def converting_run(self, name, **values):
        optimizer = "{{kind: {}, learning_rate: 1e-3, state: convert}}"
        kinds = {"tags": "lion", "topic": "adamw", **values}
        return self.new_run(name, **{**self.VALUES, "phases.pretrain.optimizer.kind": "adamw",
                                     **{f"phases.{phase}.optimizer": optimizer.format(kind)
                                        for phase, kind in kinds.items()}})

    def state_lines(self, run, phase):
        handover = next(p["handover"] for p in run.status()["phases"] if p["name"] == phase)
        return dict(line.split(": ", 1) for line in handover["state"])

    def test_state_of_another_kind_is_converted_and_resumed_exactly(self):
        straight, stopped = self.converting_run("converted"), self.converting_run("converted-stopped")
        outcome = straight.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assertRegex(outcome.text, r"tags: optimizer state of [1-9]\d* parameters converted from adamw to lion, "
                                       r"of [1-9]\d* new")
        self.assertRegex(outcome.text, r"topic: optimizer state of [1-9]\d* parameters converted from lion to adamw, of ")
        weight = "layers.0.attention.query.weight"
        self.assertEqual(self.state_lines(straight, "tags")[weight], "momentum from moment1")
        self.assertEqual(self.state_lines(straight, "topic")[weight],
                         "moment1 from momentum, moment2 from the square of that")
        head = "head.tagging.output.weight"
        self.assertEqual(self.state_lines(straight, "tags")[head], "momentum new")
        self.assertIn(f"{weight}: momentum from moment1", (straight.path / "report.html").read_text())
        reset = self.converting_run("converted-reset")
        reset.values["phases.tags.optimizer"] = "{kind: lion, learning_rate: 1e-3}"
        self.assert_exit(reset.go(ranks=None), DONE)
        self.assertEqual(straight.steps("tags")[0][1], reset.steps("tags")[0][1])
        self.assertNotEqual(straight.steps("tags")[1][1], reset.steps("tags")[1][1])
        self.stop_after(stopped, "tags", 4, ranks=2)
        self.stop_after(stopped, "topic", 5, ranks=2)
        self.assert_exit(stopped.go(ranks=None), DONE)
        self.assert_same_road(stopped, straight)

    def test_every_kind_goes_on_from_every_other(self):
        for kinds in ({"tags": "adafactor", "topic": "muon"}, {"tags": "sgd", "topic": "adafactor"},
                      {"tags": "muon", "topic": "lamb"}):
            with self.subTest(str(kinds)):
                run = self.converting_run("-".join(kinds.values()), **kinds)
                outcome = run.go(ranks=2)
                self.assert_exit(outcome, DONE)
                self.assertRegex(outcome.text, f"topic: optimizer state of \\d+ parameters converted from {kinds['tags']} to")

    def test_of_the_same_kind_converting_is_keeping(self):
        kept = self.finished(self.kept_run("kept"), ranks=None)
        converted = self.kept_run("converted-same", **{"phases.tags.optimizer.state": "convert"})
        self.assert_exit(converted.go(ranks=None), DONE)
        self.assertEqual(kept.steps("tags"), converted.steps("tags"))
        self.assertEqual(kept.digests("tags"), converted.digests("tags"))

    def test_pattern_that_matches_nothing_is_refused_with_the_nearest_names(self):
        values = {"phases.tags.freeze": "[layer.0.*]",
                  "phases.topic.optimizer.groups": "{norms: {match: '*.nrom.gain', learning_rate_scale: 0.5}}"}
        run = self.new_run("patterns", **values)
        for outcome in (run.go(ranks=2), polyphase("plan", run.arguments()[1], *settings(run.values))):
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, 'phases.tags.freeze: "layer.0.*" matches no parameter', "layers.0.",
                             'phases.topic.optimizer.groups.norms.match: "*.nrom.gain"', ".norm.gain")
        self.assertFalse((run.path / "round-1").exists())

    def test_phase_with_nothing_to_train_is_refused(self):
        outcome = self.new_run("all-frozen", **{"phases.tags.freeze": "['*']"}).go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phases.tags.freeze matches every parameter")


if __name__ == "__main__":
    unittest.main()
