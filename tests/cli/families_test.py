# SPDX-License-Identifier: Apache-2.0
"""The recipes of every family train, stop and go on, and give the same losses on any layout of ranks."""
import signal
import unittest

from job import DONE, INTERRUPTED, SOURCE, Job, RoadTest, Run, polyphase, settings

FAMILIES = ("bert", "gpt2", "llama", "roberta", "t5_v1_0", "t5_v1_1")


class FamilyRun(Run):
    """A run of inputs/families/NAME.yaml, made small, on made-up texts."""

    def __init__(self, path, texts, family, **values):
        recipe = SOURCE / "inputs" / "families" / f"{family}.yaml"
        has_topics = "topics:" in recipe.read_text()
        super().__init__(path, texts, **{
            "precision": "f32", "tokenizer.vocab_size": 200, "checkpoint.every_steps": 3,
            "model.num_layers": 2, "model.width": 32, "model.feed_forward": 64, "model.max_tokens": 32,
            "phases.pretrain.batch": "{sequences: 16, micro_batch: 4}", "phases.pretrain.stop.steps": 12,
            "corpora.glosses": "{kind: text, files: [text.txt], valid_fraction: 0.1}", **values})
        if has_topics:
            self.values["corpora.topics"] = ("{kind: classification, train: [topics-train.tsv], "
                                             "valid: [topics-valid.tsv], test: [topics-test.tsv]}")
            self.values["phases.topic.batch"] = "{sequences: 16, micro_batch: 4}"
            self.values["phases.topic.stop"] = "{steps: 4}"
        self.recipe = recipe
        self.phases = ("pretrain", "topic") if has_topics else ("pretrain",)

    def arguments(self, *more, **values):
        return ["run", self.recipe, *settings({**self.values, **values}), *more]


class FamiliesTest(RoadTest):
    def family_run(self, family, name, **values):
        return FamilyRun(self.scratch / f"{family}-{name}", self.texts, family, **values)

    def straight(self, family):
        return self.finished(self.family_run(family, "straight"), ranks=None)

    def test_stopped_run_goes_on_on_two_ranks_with_the_bits_of_one(self):
        for family in FAMILIES:
            with self.subTest(family):
                straight, stopped = self.straight(family), self.family_run(family, "stopped")
                job = stopped.start(ranks=None)
                self.assertTrue(job.freeze_when(lambda: len(stopped.steps("pretrain")) >= 4))
                job.signal_ranks(signal.SIGTERM)
                job.signal_ranks(signal.SIGCONT)
                self.assert_exit(job.wait(), INTERRUPTED)
                self.assertLess(len(stopped.steps("pretrain")), 12)
                self.assert_exit(stopped.go(ranks=2), DONE)
                self.assert_same_road(stopped, straight, straight.phases)

    def test_two_tensor_parallel_ranks_stay_within_rounding(self):
        for family in FAMILIES:
            with self.subTest(family):
                one, two = self.straight(family), self.family_run(family, "split", **{"parallel.tensor": 2})
                self.assert_exit(two.go("--phase", "pretrain", ranks=2), DONE)
                for mine, straight in zip(two.steps("pretrain"), one.steps("pretrain"), strict=True):
                    self.assertAlmostEqual(mine[1], straight[1], delta=1e-4 * straight[1])

    def test_generation_is_the_same_on_one_rank_and_on_two(self):
        for family in ("gpt2", "llama"):
            with self.subTest(family):
                run = self.straight(family)
                for more in ((), ("--temperature", "0.9"), ("--beams", "3")):
                    texts = [self.generate(run, ranks, *more) for ranks in (None, 2)]
                    self.assertEqual(texts[0], texts[1])
                    self.assertEqual(len(texts[0].splitlines()), 3)

    def test_a_long_prompt_leaves_room_for_what_follows(self):
        run = self.straight("gpt2")
        prompt = "the old cat and the small dog " * 40
        outcome = polyphase("generate", run.path, "--phase", "pretrain", "--prompt", prompt,
                            "--max-new-tokens", 1000, "--temperature", 2)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "1 texts did not fit into max_tokens")
        self.assertGreater(len(outcome.out.split()), 1)  # a full window leaves one token at most

    def generate(self, run, ranks, *more):
        prompts = self.scratch / "prompts.txt"
        prompts.write_text("the old cat\nthe small dog\nthe king\n")
        outcome = polyphase("generate", run.path, "--phase", "pretrain", "--input", prompts,
                            "--max-new-tokens", 8, *more, ranks=ranks)
        self.assert_exit(outcome, DONE)
        return outcome.out


if __name__ == "__main__":
    unittest.main()
