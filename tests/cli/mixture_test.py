# SPDX-License-Identifier: Apache-2.0
"""A phase on two corpora, with a curriculum, changed texts and MixUp: the same road killed, on one rank and on two."""
import json
import random
import re
import unittest

from job import DONE, USAGE, RoadTest, polyphase, sentence

MORE = "{kind: classification, train: [more-train.tsv], valid: [more-valid.tsv]}"
MIXED = {
    "checkpoint.every_steps": 3,
    "corpora.more": MORE,
    "phases.pretrain.stop.steps": 4,
    "phases.tags.stop.steps": 2,
    "phases.tags.augment": "{mask: 0.2, synonyms: {file: synonyms.tsv, fraction: 0.5}}",
    "phases.topic.data": "{topics: 3.0, more: 1.0}",
    "phases.topic.data_temperature": 2,
    "phases.topic.filter": "{min_tokens: 4}",
    "phases.topic.curriculum": "{by: length, start: 0.2, steps: 12}",
    "phases.topic.augment": "{mask: 0.1, delete: 0.1, swap: 0.1, span: 0.1, "
                            "synonyms: {file: synonyms.tsv, fraction: 0.5}}",
    "phases.topic.mixup": 0.2,
    "phases.topic.batch": "{sequences: 16, micro_batch: 4, ramp: {from: 8, every_steps: 7}}",
    "phases.topic.stop": "{steps: 18, early: {metric: valid.more.accuracy, patience: 9}}",
    "phases.topic.evaluate.every_steps": 6,
}


def write_more(folder, kinds=("animal", "person", "thing")):
    draw = random.Random(5)
    for part, size in (("train", 50), ("valid", 20)):
        made = [sentence(draw) for _ in range(size)]
        made = [(words, kind) for words, kind in made if kind in kinds]
        (folder / f"more-{part}.tsv").write_text(
            "".join(f"{' '.join(words)}\t{kind}\n" for words, kind in made))
    (folder / "synonyms.tsv").write_text("cat\tdog\tbird\nold\tnew\tbig red\nsees\tfinds\n")


class MixtureTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_more(cls.texts)
        cls.straight = cls.new_run(cls, "straight", **MIXED)
        cls.outcome = cls.straight.go(ranks=None)
        assert cls.outcome.code == DONE, cls.outcome

    def metrics_of(self, run):
        return {phase["name"]: phase["metrics"] for phase in run.status()["phases"]}

    def test_two_ranks_take_the_same_road(self):
        run = self.new_run("two", **MIXED)
        self.assert_exit(run.go(ranks=2), DONE)
        self.assert_same_road(run, self.straight)
        self.assertEqual(self.metrics_of(run), self.metrics_of(self.straight))

    def test_killed_job_goes_on_with_the_same_losses(self):
        run = self.new_run("killed", **MIXED)
        for number in (1, 8, 14):  # within the curriculum, and behind it
            job = run.start(ranks=None)
            self.assertTrue(job.freeze_when(lambda: len(run.steps("topic")) >= number))
            job.kill()
            self.assertNotEqual(job.wait().code, DONE)
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_road(run, self.straight)
        self.assertEqual(self.metrics_of(run), self.metrics_of(self.straight))

    def test_mixture_is_told_and_measured_by_corpus(self):
        # Weights 1 and 3 times the square roots of 50 and 200 (or few less): 1 to 6.
        told = re.search(r"topic: (\d+) of (\d+) samples are of more \((\d+) of its 50\), "
                         r"(\d+) of (\d+) samples are of topics \((\d+) of its 200\)",
                         self.outcome.text)
        self.assertTrue(told, self.outcome)
        more, block, num_more, topics, _, num_topics = map(int, told.groups())
        self.assertEqual(more + topics, block)
        self.assertAlmostEqual(more / topics, (num_more / num_topics) ** 0.5 / 3, places=2)
        metrics = self.metrics_of(self.straight)["topic"]
        # 20 samples of the one, 40 of the other; the test part is that of topics alone.
        for name in ("loss", "accuracy"):
            mean = (20 * metrics[f"valid.more.{name}"] + 40 * metrics[f"valid.topics.{name}"]) / 60
            self.assertAlmostEqual(metrics[f"valid.{name}"], mean, places=12)
        self.assertEqual(metrics["test.accuracy"], metrics["test.topics.accuracy"])
        self.assertNotIn("test.more.accuracy", metrics)

    def test_metric_of_the_only_corpus_with_a_validation_part_stops_early_too(self):
        one_part = {"corpora.more": MORE.replace(", valid: [more-valid.tsv]", ""),
                    "phases.topic.stop": "{steps: 18, early: {metric: valid.topics.accuracy, patience: 9}}"}
        run = self.new_run("one-part", **{**MIXED, **one_part})
        self.assert_exit(run.go(ranks=None), DONE)
        metrics = self.metrics_of(run)["topic"]
        self.assertEqual(metrics["valid.topics.accuracy"], metrics["valid.accuracy"])

    def test_fractions_of_nothing_leave_the_texts_as_they_are(self):
        roads = []
        for number, augment in enumerate(("{mask: 0}", "{synonyms: {file: synonyms.tsv, fraction: 1e-12}}")):
            run = self.new_run(f"nothing-{number}", **{**MIXED, "phases.topic.augment": augment})
            self.assert_exit(run.go(ranks=None), DONE)
            roads.append(run.steps("topic"))
        self.assertEqual(roads[0], roads[1])
        self.assertNotEqual(roads[0], self.straight.steps("topic"))

    def test_changed_table_of_synonyms_is_another_corpus(self):
        run = self.new_run("table", **MIXED)
        job = run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: len(run.checkpoints("topic")) > 0))
        job.kill()
        job.wait()
        table = self.texts / "synonyms.tsv"
        before = table.read_text()
        self.addCleanup(table.write_text, before)
        table.write_text(before + "red\tsmall\n")
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "the corpus more + topics changed since this checkpoint was written")

    def test_different_labels_are_refused_with_the_difference(self):
        write_more(self.texts, ("animal", "person"))
        self.addCleanup(write_more, self.texts)
        run = self.new_run("labels", **MIXED)
        for ranks in (None, 2):
            outcome = run.go(ranks=ranks)
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, "phases.topic.data: the corpora more and topics have different labels",
                             "only more has: none; only topics has: thing")

    def test_evaluate_measures_every_corpus(self):
        outcome = polyphase("evaluate", self.straight.path, "--phase", "topic", "--part", "valid",
                            "--format", "json")
        self.assert_exit(outcome, DONE)
        found = json.loads(outcome.out)
        self.assertEqual(found["samples"], 60)
        expected = {name.removeprefix("valid."): value
                    for name, value in self.metrics_of(self.straight)["topic"].items()
                    if name.startswith("valid.")}
        self.assertEqual(found["metrics"], expected)


if __name__ == "__main__":
    unittest.main()
