# SPDX-License-Identifier: Apache-2.0
"""Steps that go wrong: a guard skips them and goes back, on every layout alike, and through kills."""
import random
import shutil
import unittest

from job import DONE, USAGE, RoadTest, sentence

ALONE = {"phases.topic.from": "", "corpora.topics.kind": "regression", "corpora.topics.train": "[numbers.tsv]",
         "corpora.topics.valid": "", "corpora.topics.test": "", "phases.topic.task.kind": "regression",
         "checkpoint.keep": 50}
# The learning rate of plain gradient descent rises until training breaks; after a rollback it stays below that.
OPTIMIZER = ("{kind: sgd, momentum: 0, max_grad_norm: 0, learning_rate: %s, "
             "schedule: {kind: constant, warmup_steps: 60}}")
HIGH, SCALE = 0.125, 0.25
# What else is kept beside the parameters, and must go back with them.
KEPT = {"corpora.topics.valid": "[unspoilt.tsv]", "phases.topic.average": "{decay: 0.8}",
        "phases.topic.evaluate.every_steps": 1}
BEST = {**KEPT, "phases.topic.stop.early": "{metric: valid.loss, patience: 90, keep: best}"}
BACK = f"{{spike: 10, max_skipped: 0, max_rollbacks: 3, learning_rate_scale: {SCALE}, skip_data: false}}"


class GuardTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        draw = random.Random(5)
        cls.numbers = [(" ".join(sentence(draw)[0]), f"{draw.random():.3f}") for _ in range(200)]

    def write_numbers(self, **poisons):
        lines = [f"{text}\t{poisons.get(f'line{i}', value)}\n" for i, (text, value) in enumerate(self.numbers)]
        (self.texts / "numbers.tsv").write_text("".join(lines))
        (self.texts / "unspoilt.tsv").write_text("".join(f"{text}\t{value}\n" for text, value in self.numbers[:40]))

    def run_of(self, name, **values):
        return self.new_run(name, **{**ALONE, **values})

    def go(self, run, code, ranks=1, **values):
        outcome = run.go("--phase", "topic", ranks=ranks, **values)
        self.assert_exit(outcome, code)
        return outcome

    def events(self, run, what):
        return [(r["step"], r["detail"]) for r in run.metrics("topic") if r["kind"] == "event" and r["what"] == what]

    def test_step_of_a_poisoned_batch_changes_nothing_on_any_layout(self):
        self.write_numbers(line77="3e38")
        unguarded = self.run_of("unguarded", **{"phases.topic.stop.steps": 12})
        self.assert_says(self.go(unguarded, USAGE), "training has diverged", "give the phase a guard")
        guard = {"phases.topic.guard": "{max_skipped: 2}", "phases.topic.stop.steps": 12}
        one, two, split, staged = (self.run_of(name, **guard) for name in ("one", "two", "split", "staged"))
        stages = {"parallel.pipeline": 2}
        self.assert_says(self.go(self.run_of("unguarded-stages", **{"phases.topic.stop.steps": 12}), USAGE, ranks=2,
                                 **stages), "training has diverged", "give the phase a guard")
        self.assert_says(self.go(one, DONE), "skipped: the norm of the gradients is")
        self.go(two, DONE, ranks=2)
        self.go(split, DONE, ranks=2, **{"parallel.tensor": 2})
        step = self.events(one, "skipped")[0][0]
        self.go(staged, DONE, ranks=2, **stages)
        for other in (two, split, staged):
            self.assertEqual(self.events(other, "skipped"), self.events(one, "skipped"))
        self.assert_same_road(two, one, ["topic"])
        self.assert_same_road(staged, one, ["topic"])
        self.assertGreater(step, 1)
        self.assertEqual(unguarded.steps("topic")[-1][0], step - 1)

        # With the poisoned batch last, the parameters are those of the step before.
        until, before = self.run_of("until", **guard), self.run_of("before", **guard)
        self.go(until, DONE, **{"phases.topic.stop.steps": step, "phases.topic.optimizer.schedule.kind": "constant"})
        self.go(before, DONE,
                **{"phases.topic.stop.steps": step - 1, "phases.topic.optimizer.schedule.kind": "constant"})
        self.assertEqual(until.digests("topic"), before.digests("topic"))

    def evaluations(self, run):
        return {r["step"]: r["metrics"] for r in run.metrics("topic")
                if r["kind"] == "evaluation" and r["split"] == "valid"}

    def test_skipped_step_changes_neither_average_nor_best(self):
        self.write_numbers(line77="3e38")
        guard = {"phases.topic.guard": "{max_skipped: 2}", "phases.topic.stop.steps": 12}
        one, two = self.run_of("average-one", **guard, **BEST), self.run_of("average-two", **guard, **BEST)
        self.go(one, DONE)
        self.go(two, DONE, ranks=2)
        self.assert_same_road(two, one, ["topic"])
        self.assertEqual(self.evaluations(two), self.evaluations(one))
        (step, _), = self.events(one, "skipped")
        measured = self.evaluations(one)
        self.assertEqual(measured[step], measured[step - 1])
        self.assertNotEqual(measured[step - 1], measured[step - 2])
        self.assertNotIn(step, [int(c.name.split("-")[1]) for c in one.checkpoints("topic")])

        # With the poisoned batch last, the averages are those of the step before.
        until, before = self.run_of("average-until", **guard, **KEPT), self.run_of("average-before", **guard, **KEPT)
        constant = {"phases.topic.optimizer.schedule.kind": "constant"}
        self.go(until, DONE, **{"phases.topic.stop.steps": step, **constant})
        self.go(before, DONE, **{"phases.topic.stop.steps": step - 1, **constant})
        self.assertTrue(any("average" in name for name in until.digests("topic")))
        self.assertEqual(until.digests("topic"), before.digests("topic"))

    def test_finite_spike_is_skipped_once_there_are_losses_to_compare_with(self):
        self.write_numbers(line33="90")
        run = self.run_of("spike", **{"phases.topic.guard": "{}", "phases.topic.stop": "{epochs: 6}"})
        self.go(run, DONE, ranks=2)
        skipped = [step for step, _ in self.events(run, "skipped")]
        self.assertGreaterEqual(len(skipped), 4)  # in the first epoch there are too few losses before it
        self.assertGreater(min(skipped), 20)
        self.assertIn("median", self.events(run, "skipped")[0][1])

    def rolled_back(self, name, **values):
        rising = {"phases.topic.optimizer": OPTIMIZER % HIGH, "phases.topic.stop.steps": 60,
                  "checkpoint.every_steps": 5}
        return self.run_of(name, **{**rising, "phases.topic.guard": BACK, **values})

    def test_rollback_equals_the_change_made_by_hand(self):
        self.compare_with_changed_by_hand("")

    def test_rollback_takes_average_and_best_back_too(self):
        guarded, back = self.compare_with_changed_by_hand("-best", **BEST)
        measured = self.evaluations(guarded)
        result, = self.events(guarded, "result") or [(60, "")]
        best = min(measured, key=lambda step: (measured[step]["loss"], step))
        self.assertEqual(f"the checkpoint of step {best}, the best by valid.loss" if best < 60 else "", result[1])
        final = next(p["metrics"] for p in guarded.status()["phases"] if p["name"] == "topic")
        self.assertEqual(final["valid.loss"], measured[best]["loss"])
        two = self.rolled_back("guarded-best-two", **BEST)
        self.go(two, DONE, ranks=2)
        self.assert_same_road(two, guarded, ["topic"])
        self.assertEqual(self.evaluations(two), measured)
        # Of stages, which stop early as one rank does.
        early = {**BEST, "phases.topic.stop.early": "{metric: valid.loss, patience: 3, keep: best}"}
        alone, staged = self.rolled_back("early", **early), self.rolled_back("early-stages", **early)
        self.go(alone, DONE)
        self.go(staged, DONE, ranks=2, **{"parallel.pipeline": 2})
        self.assertLess(len(alone.steps("topic")), 60)
        self.assert_same_road(staged, alone, ["topic"])
        self.assertEqual(self.evaluations(staged), self.evaluations(alone))

    def compare_with_changed_by_hand(self, name, **values):
        self.write_numbers()
        guarded = self.rolled_back("guarded" + name, **values)
        self.assert_says(self.go(guarded, DONE), "rolled back from step")
        (back, detail), = self.events(guarded, "rolled back")
        self.assertGreaterEqual(back, 20)

        by_hand = self.rolled_back("by-hand" + name, **{**values, "phases.topic.guard": ""})
        self.go(by_hand, USAGE)  # it diverges
        for checkpoint in by_hand.checkpoints("topic"):
            if int(checkpoint.name.split("-")[1]) > back:
                shutil.rmtree(checkpoint)
        recipe, status = by_hand.path / "recipe.yaml", by_hand.path / "status.json"
        lower = f"learning_rate: {HIGH * SCALE}"
        self.assertIn(f"learning_rate: {HIGH:g}\n", recipe.read_text())
        recipe.write_text(recipe.read_text().replace(f"learning_rate: {HIGH:g}\n", lower + "\n"))
        status.unlink()
        self.go(by_hand, DONE, **{"phases.topic.optimizer": OPTIMIZER % (HIGH * SCALE)})
        self.assertEqual(by_hand.steps("topic"), guarded.steps("topic"))
        self.assertEqual(by_hand.digests("topic"), guarded.digests("topic"))
        self.assertEqual(self.evaluations(by_hand), self.evaluations(guarded))
        return guarded, back

    def test_killed_after_a_rollback_it_makes_it_again(self):
        self.write_numbers()
        straight, killed = self.rolled_back("straight"), self.rolled_back("killed")
        self.go(straight, DONE)
        job = killed.start("--phase", "topic", ranks=2)
        self.assertTrue(job.freeze_when(lambda: self.events(killed, "rolled back")))
        job.kill()
        job.wait()
        self.go(killed, DONE, ranks=2)
        self.assert_same_road(killed, straight, ["topic"])
        self.assertEqual(self.events(killed, "rolled back"), self.events(straight, "rolled back"))

    def test_data_since_the_checkpoint_is_passed_over(self):
        self.write_numbers(line77="3e38")
        guard = {"phases.topic.guard": "{max_skipped: 0, learning_rate_scale: 1}", "phases.topic.stop.steps": 10,
                 "checkpoint.every_steps": 2}
        one, two = self.run_of("over-one", **guard), self.run_of("over-two", **guard)
        self.go(one, DONE)
        self.go(two, DONE, ranks=2)
        self.assert_same_road(two, one, ["topic"])
        (step, detail), = self.events(one, "rolled back")
        self.assertRegex(detail, r"^from step \d+ to step \d+, rollback 1 of 2; the learning rate is 1 times the "
                                 r"schedule's, [12] steps of data are passed over$")
        self.assertEqual(self.events(one, "skipped"), [])  # those steps are undone
        self.assertEqual(len(one.steps("topic")), 10)

    def test_a_phase_that_goes_wrong_again_and_again_fails_with_its_last_checkpoint(self):
        self.write_numbers(**{f"line{i}": "3e38" for i in range(200)})
        run = self.run_of("hopeless", **{"phases.topic.guard": "{max_skipped: 1, max_rollbacks: 2}"})
        self.assert_says(self.go(run, USAGE, ranks=2), "the last of 2 steps in a row", "after 2 rollbacks")

    def test_guard_of_wrong_values_is_refused(self):
        self.write_numbers()
        run = self.run_of("wrong", **{"phases.topic.guard": "{spikes: 3, max_skipped: -1}"})
        self.assert_says(self.go(run, USAGE), 'unknown key "spikes"', "max_skipped")


if __name__ == "__main__":
    unittest.main()
