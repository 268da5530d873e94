# SPDX-License-Identifier: Apache-2.0
"""Several objectives of one phase: each trains on its turn of the samples, and is measured on the whole validation part."""
import json
import unittest

from families_test import FamilyRun
from job import DONE, TARGET_NOT_MET, polyphase, read_lines
from used_runs import UsedRuns

# By recipe of inputs/families, the objectives of its phase `pretrain` with their weights; None: as the recipe has them.
CASES = {"gpt2": {"clm": 1.0, "prefix_lm": 0.5}, "llama": {"clm": 0.25, "prefix_lm": 1.0},
         "ul2": None, "bert": {"mlm": 1.0, "nsp": 0.5, "sop": 2.0}}

MIXED = """
name: NAME
seed: 3
tokenizer: {kind: unigram, vocab_size: 120, corpora: [text]}
corpora:
  text: {kind: text, files: [text.txt], valid: [valid.txt]}
model: {family: FAMILY, num_layers: 1, width: 32, num_heads: 2, max_tokens: 40}
phases:
  - {name: both, objectives: {FIRST: 1.0, SECOND: 0.5}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 20}}
  - {name: first, from: both, objectives: {FIRST: 1.0}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 1},
     optimizer: {learning_rate: 1e-20}}
  - {name: second, from: both, objectives: {SECOND: 1.0}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 1},
     optimizer: {learning_rate: 1e-20}}
"""

# With micro-batches of one sample some objective has nothing in each.
MORE = """
  - {name: student, objectives: {FIRST: 1.0, SECOND: 0.5}, distil: {teacher: both, hidden: 0.1}, data: {text: 1.0},
     batch: {sequences: 4, micro_batch: 1}, stop: {steps: 6}}
  - {name: repeated, objectives: {FIRST: 1.0, SECOND: 0.5}, r_drop: 1.0, data: {text: 1.0},
     batch: {sequences: 6, micro_batch: 3}, stop: {steps: 6}}
"""
ROUNDS = """
iterate:
  target: {phase: both, metric: valid.loss, at_most: 0.1}
  max_rounds: 2
  strategies: [{name: longer, set: {phases.both.stop.steps: 30}}]
"""


def mixed(family, first, second):
    text = MIXED.replace("NAME", "mixed").replace("FAMILY", family)
    return text.replace("FIRST", first).replace("SECOND", second)


class ObjectivesTest(UsedRuns):
    def family_run(self, family, name, **values):
        objectives = CASES[family]
        if objectives:
            values["phases.pretrain.objectives"] = json.dumps(objectives).replace('"', "")
        return FamilyRun(self.scratch / f"{family}-{name}", self.texts, family, **values)

    def straight(self, family):
        return self.finished(self.family_run(family, "straight"), "--phase", "pretrain", ranks=None)

    def test_ranks_and_a_killed_job_change_no_bit_of_the_losses(self):
        for family in CASES:
            with self.subTest(family):
                one, killed = self.straight(family), self.family_run(family, "killed")
                job = killed.start("--phase", "pretrain", ranks=None)
                self.assertTrue(job.freeze_when(lambda: killed.checkpoints("pretrain")))
                job.kill()
                self.assertNotEqual(job.wait().code, DONE)
                self.assertLess(len(killed.steps("pretrain")), 12)
                self.assert_exit(killed.go("--phase", "pretrain", ranks=2), DONE)
                self.assert_same_road(killed, one, ("pretrain",))
                self.check_losses(one, CASES[family] or {"span": 1.0, "prefix_lm": 0.5})

    def check_losses(self, run, weights):
        """Every step and evaluation has each objective's own mean, and their weighted sum."""
        lines = run.metrics("pretrain")
        for line in (line for line in lines if line["kind"] == "step"):
            self.assertEqual(line["losses"].keys(), weights.keys())
            self.assertAlmostEqual(line["loss"], sum(w * line["losses"][o] for o, w in weights.items()), places=9)
        evaluations = [line["metrics"] for line in lines if line["kind"] == "evaluation"]
        self.assertTrue(evaluations)
        for metrics in evaluations:
            self.assertAlmostEqual(metrics["loss"], sum(w * metrics[f"{o}_loss"] for o, w in weights.items()), places=9)

    def test_two_tensor_parallel_ranks_stay_within_rounding(self):
        for family in ("gpt2", "ul2"):
            with self.subTest(family):
                one, two = self.straight(family), self.family_run(family, "split", **{"parallel.tensor": 2})
                self.assert_exit(two.go("--phase", "pretrain", ranks=2), DONE)
                for mine, straight in zip(two.steps("pretrain"), one.steps("pretrain"), strict=True):
                    self.assertAlmostEqual(mine[1], straight[1], delta=1e-4 * straight[1])

    # A model that is trained no further has the same losses where an objective stands alone.
    def test_each_objective_is_evaluated_on_the_whole_validation_part(self):
        for family, *names in (("gpt", "clm", "prefix_lm"), ("t5", "span", "prefix_lm"), ("bert", "nsp", "sop")):
            with self.subTest(family):
                run = self.trained(f"mixed-{family}", mixed(family, *names))
                both = self.metrics("--phase", "both", run=run)
                for phase, name in zip(("first", "second"), names):
                    alone = self.metrics("--phase", phase, run=run)
                    self.assertEqual(alone["samples"], both["samples"])
                    for metric, value in alone["metrics"].items():
                        known = metric if metric in ("bits_per_byte", "word_perplexity") else f"{name}_{metric}"
                        self.assertAlmostEqual(both["metrics"][known], value, delta=1e-5 * value)
                self.assertEqual(self.metrics("--phase", "both", run=run, ranks=2), both)

    def test_a_teacher_and_repeated_passes_go_with_several(self):
        for family, *names in (("gpt", "clm", "prefix_lm"), ("t5", "span", "prefix_lm")):
            with self.subTest(family):
                more = MORE.replace("FIRST", names[0]).replace("SECOND", names[1])
                alone, both = (self.trained(f"taught-{family}-{ranks}", mixed(family, *names) + more, ranks=ranks)
                               for ranks in (None, 2))
                for phase in ("04-student", "05-repeated"):
                    steps = [[(line["step"], line["losses"], line["grad_norm"]) for line in
                              read_lines(run / "round-1" / phase / "metrics.jsonl") if line["kind"] == "step"]
                             for run in (alone, both)]
                    self.assertEqual(len(steps[0]), 6)
                    self.assertEqual(*steps)

    def test_rounds_compare_what_a_sample_gives_in_every_kind(self):
        recipe = self.texts / "rounds.yaml"
        recipe.write_text(mixed("t5", "span", "prefix_lm") + ROUNDS)
        run = self.scratch / "rounds"
        self.assert_exit(polyphase("run", recipe, "--set", f"run_dir={run}", ranks=2), TARGET_NOT_MET)
        folders = [file.parent for file in sorted(run.glob("round-*/*-both/valid-samples.jsonl"))]
        self.assertEqual(len(folders), 2)
        for folder in folders:
            samples = read_lines(folder / "valid-samples.jsonl")
            self.assertEqual(len(samples), 20)  # sentences of valid.txt
            metrics = [line["metrics"] for line in read_lines(folder / "metrics.jsonl")
                       if line["kind"] == "evaluation"][-1]
            for place, name in enumerate(("prefix_lm", "span")):
                nats = sum(sample[place][0] for sample in samples)
                terms = sum(sample[place][1] for sample in samples)
                self.assertAlmostEqual(nats / terms, metrics[f"{name}_loss"], places=5)

    def test_an_encoder_with_a_decoder_goes_on_with_a_text(self):
        run = self.trained("speaker", mixed("t5", "span", "prefix_lm"))
        texts = [polyphase("generate", run, "--phase", "both", "--prompt", "the old cat", "--max-new-tokens", 6,
                           ranks=ranks) for ranks in (None, 2)]
        for outcome in texts:
            self.assert_exit(outcome, DONE)
        self.assertTrue(texts[0].out.strip())
        self.assertEqual(texts[0].out, texts[1].out)


if __name__ == "__main__":
    unittest.main()
