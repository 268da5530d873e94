# SPDX-License-Identifier: Apache-2.0
"""Trained models are evaluated and predict, whatever their family and task, on any layout of ranks."""
import json
import math
import random
import unittest

from job import DATA, DONE, SYSTEM, USAGE, polyphase, sentence, settings, tags_of
from used_runs import DECODER, ENCODER, ENCODER_DECODER, PHASE, UsedRuns


class UseTest(UsedRuns):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.encoder = cls.trained("encoder", ENCODER)
        cls.decoder = cls.trained("decoder", DECODER)
        cls.encoder_decoder = cls.trained("encoder-decoder", ENCODER_DECODER)

    # --- labels of whole texts

    def test_predicted_classes_are_those_that_evaluate_counts(self):
        rows = [line.split("\t") for line in self.lines_of("topics-train.tsv")]
        outcome = self.predict("--phase", "topic", text="\n".join(row[0] for row in rows))
        predicted = [line.split("\t") for line in outcome.out.splitlines()]
        right = sum(label == row[1] for (label, _), row in zip(predicted, rows, strict=True))
        found = self.metrics("--phase", "topic", "--part", "train")
        self.assertEqual(found["samples"], len(rows))
        self.assertAlmostEqual(found["metrics"]["accuracy"], right / len(rows), places=12)
        self.assertGreater(right / len(rows), 0.7)
        for _, probability in predicted:
            self.assertGreaterEqual(float(probability), 1 / 3)

    def test_ranks_do_not_change_a_digit(self):
        text = "\n".join(line.split("\t")[0] for line in self.lines_of("topics-train.tsv"))
        alone = self.predict("--phase", "topic", "--format", "jsonl", text=text)
        both = self.predict("--phase", "topic", "--format", "jsonl", text=text, ranks=2)
        three = self.predict("--phase", "topic", "--format", "jsonl", text=text, ranks=3)
        self.assertEqual(alone.out.count("\n"), 200)
        self.assertEqual(alone.out, both.out)
        self.assertEqual(alone.out, three.out)
        tensor = self.predict("--phase", "topic", "--format", "jsonl", "--tensor", 2, text=text,
                              ranks=2)
        for one, other in zip(alone.out.splitlines(), tensor.out.splitlines(), strict=True):
            one, other = json.loads(one), json.loads(other)
            self.assertAlmostEqual(one["probability"], other["probability"], places=4)
            self.assertAlmostEqual(sum(one["probabilities"].values()), 1, places=9)
            self.assertEqual(one["probabilities"][one["label"]], one["probability"])
        for phase in ("topic", "answer", "pretrain"):
            part = ("--phase", phase, "--part", "valid" if phase == "pretrain" else "train")
            self.assertEqual(self.metrics(*part), self.metrics(*part, ranks=2))

    def test_evaluate_repeats_what_training_reported(self):
        for run, phase, part in ((self.encoder, "topic", "test"), (self.encoder, "crf", "test"),
                                 (self.encoder, "pretrain", "valid"),
                                 (self.encoder_decoder, "spans", "valid"),
                                 (self.encoder_decoder, "turn", "test")):
            status = json.loads((run / "status.json").read_text())
            reported = {p["name"]: p["metrics"] for p in status["phases"]}[phase]
            for ranks in (None, 2):
                found = self.metrics("--phase", phase, run=run, ranks=ranks)  # the part is chosen
                self.assertEqual(found["data"], part)
                self.assertEqual(
                    {f"{part}.{name}": value for name, value in found["metrics"].items()},
                    {name: value for name, value in reported.items() if name.startswith(part)})
        table = polyphase("evaluate", self.encoder, "--phase", "topic")
        self.assert_says(table, "topic (classification), step-000150: 40 samples of test",
                         "accuracy", "matthews")

    def test_pairs_numbers_and_sets(self):
        rows = [line.rsplit("\t", 1) for line in self.lines_of("pairs.tsv")]
        outcome = self.predict("--phase", "pair", text="\n".join(row[0] for row in rows))
        right = sum(line.startswith(row[1] + "\t")
                    for line, row in zip(outcome.out.splitlines(), rows, strict=True))
        accuracy = self.metrics("--phase", "pair", "--part", "train")["metrics"]["accuracy"]
        self.assertAlmostEqual(accuracy, right / len(rows), places=12)

        rows = [line.split("\t") for line in self.lines_of("numbers.tsv")]
        text = "\n".join(row[0] for row in rows)
        values = [float(line) for line in self.predict("--phase", "number", text=text).out.split()]
        error = sum((value - float(row[1])) ** 2 for value, row in zip(values, rows, strict=True))
        loss = self.metrics("--phase", "number", "--part", "train")["metrics"]["loss"]
        self.assertAlmostEqual(error / len(rows), loss, places=4)

        rows = [line.split("\t") for line in self.lines_of("sets.tsv")]
        text = "\n".join(row[0] for row in rows)
        found = self.predict("--phase", "set", text=text).out.splitlines()
        objects = [json.loads(line) for line in self.predict(
            "--phase", "set", "--format", "jsonl", text=text).out.splitlines()]
        exact = 0
        for line, object_, row in zip(found, objects, rows, strict=True):
            columns = line.split("\t") if line else []
            self.assertEqual(columns[::2], object_["labels"])
            self.assertEqual(columns[::2], [label for label, p in object_["probabilities"].items()
                                            if p >= 0.5])
            exact += columns[::2] == row[1].split(",")
        accuracy = self.metrics("--phase", "set", "--part", "train")["metrics"]["accuracy"]
        self.assertAlmostEqual(accuracy, exact / len(rows), places=12)

    # --- several models

    def test_several_runs_say_the_mean_of_what_each_says(self):
        phases = ENCODER[:ENCODER.index("  - {name: pretrain")]
        other = self.trained("other", phases + "".join(
            PHASE.format(name=name, task=task, corpus=corpus, steps=20)
            for name, task, corpus in (("topic", "classification", "topics"), ("number", "regression", "numbers"),
                                       ("set", "multi_label", "sets"))), "--set", "seed=5", "--set", "parallel.tensor=2", ranks=2)  # used as the first run's ranks are

        def told(phase, file, *runs):
            texts = "\n".join(line.split("\t")[0] for line in self.lines_of(file))
            outcome = polyphase("predict", *runs, "--phase", phase, "--tensor", 1, "--format", "jsonl", text=texts)
            self.assert_exit(outcome, DONE)
            return [json.loads(line) for line in outcome.out.splitlines()]

        def metrics(phase, *runs, ranks=None):
            outcome = polyphase("evaluate", *runs, "--phase", phase, "--part", "train", "--format", "json", ranks=ranks)
            self.assert_exit(outcome, DONE)
            return json.loads(outcome.out)

        for phase, file in (("topic", "topics-train.tsv"), ("number", "numbers.tsv"), ("set", "sets.tsv")):
            each = [told(phase, file, run) for run in (self.encoder, other)]
            both = told(phase, file, self.encoder, other)
            self.assertNotEqual(each[0], each[1])
            for one, two, mean in zip(*each, both, strict=True):
                if phase == "number":
                    self.assertAlmostEqual(mean["value"], (one["value"] + two["value"]) / 2, places=5)
                    continue
                for label, probability in mean["probabilities"].items():
                    self.assertAlmostEqual(
                        probability, (one["probabilities"][label] + two["probabilities"][label]) / 2, places=12)

            rows = [line.split("\t")[1] for line in self.lines_of(file)]
            found = metrics(phase, self.encoder, other)
            self.assertEqual(found["models"], 2)
            self.assertEqual(found, metrics(phase, self.encoder, other, ranks=2))
            loss = {"topic": lambda said, row: -math.log(said["probabilities"][row]),
                    "number": lambda said, row: (said["value"] - float(row)) ** 2,
                    "set": lambda said, row: -sum(math.log(p if label in row.split(",") else 1 - p)
                                                  for label, p in said["probabilities"].items()) / len(said["probabilities"]),
                    }[phase]
            losses = sum(loss(said, row) for said, row in zip(both, rows, strict=True))
            self.assertAlmostEqual(found["metrics"]["loss"], losses / len(rows), places=5)
            if phase == "topic":
                right = sum(said["label"] == row for said, row in zip(both, rows, strict=True))
                self.assertEqual(found["metrics"]["accuracy"], right / len(rows))
            # A model's mean with itself scores as it does alone.
            alone = metrics(phase, self.encoder)["metrics"]
            for name, value in metrics(phase, self.encoder, self.encoder)["metrics"].items():
                self.assertAlmostEqual(value, alone[name], places=5)

        for command, runs, phase, words in (
                ("predict", (self.encoder, self.decoder), "topic", "has another tokenizer than"),
                ("evaluate", (self.encoder, self.encoder), "crf", "phase crf is tagging: several models have a mean"),
                ("evaluate", (self.encoder, other), "crf", "no such phase")):
            outcome = polyphase(command, *runs, "--phase", phase, text="the cat\n")
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, words)

    # --- tags

    def test_tags_are_a_corpus_again(self):
        sentences = [[line.split("\t")[0] for line in block.split("\n") if line]
                     for block in (self.texts / "tags-test.conll").read_text().split("\n\n")]
        text = "\n".join(" ".join(words) for words in sentences if words)
        for phase in ("tag", "crf"):
            output = self.scratch / f"{phase}.conll"
            self.predict("--phase", phase, "--output", output, text=text, ranks=2)
            blocks = output.read_text().split("\n\n")
            self.assertEqual(blocks.pop(), "")
            pairs = [[line.split("\t") for line in block.split("\n")] for block in blocks]
            self.assertEqual([[word for word, _ in block] for block in pairs], sentences)
            right = sum(tag == true for block in pairs
                        for (_, tag), true in zip(block, tags_of([w for w, _ in block])))
            words = sum(map(len, pairs))
            accuracy = self.metrics("--phase", phase)["metrics"]["accuracy"]
            self.assertAlmostEqual(accuracy, right / words, places=12)
            self.assertGreater(accuracy, 0.8)
            # A run that has nothing but these tags takes them as they are.
            (self.texts / "predicted.conll").write_text(output.read_text())
            again = self.scratch / f"again-{phase}"
            self.assert_exit(polyphase("prepare", self.texts / "encoder.yaml", *settings(
                {"run_dir": again, "corpora.tags.test": "[predicted.conll]"})), DONE)

    def test_a_long_sentence_gets_all_its_tags(self):
        words = sentence(random.Random(1))[0] * 12
        outcome = self.predict("--phase", "crf", text=" ".join(words) + "\nthe old cat\n")
        blocks = outcome.out.split("\n\n")
        self.assertEqual([line.split("\t")[0] for line in blocks[0].split("\n")], words)
        self.assertEqual(len(blocks[1].split("\n")), 3)
        self.assert_says(outcome, "1 of 2 samples did not fit into max_tokens (40) and were tagged in")

    # --- decoders

    def test_a_causal_model_counts_bits_and_words(self):
        found = self.metrics("--phase", "book", run=self.decoder)
        text = (self.texts / "valid.txt").read_text()
        values = found["metrics"]
        self.assertEqual(found["data"], "valid")
        # Every character and the end of the document are predicted.
        nats = values["loss"] * (len(text) + 1)
        self.assertAlmostEqual(values["bits_per_byte"], nats / math.log(2) / len(text), places=9)
        words = len(text.split()) + text.count("\n")
        self.assertAlmostEqual(math.log(values["word_perplexity"]), nats / words, places=9)
        self.assertEqual(found, self.metrics("--phase", "book", run=self.decoder, ranks=2))
        # Of sentences, line ends are neither predicted nor counted; two documents end.
        found = self.metrics("--phase", "lines", run=self.decoder)["metrics"]
        num_bytes = len(text) - text.count("\n")
        nats = found["bits_per_byte"] * math.log(2) * num_bytes
        self.assertAlmostEqual(math.log(found["word_perplexity"]), nats / len(text.split()), places=9)
        self.assertAlmostEqual(nats / found["loss"], num_bytes + 2, places=5)

    def test_a_decoder_classifies(self):
        rows = [line.split("\t") for line in self.lines_of("topics-test.tsv")]
        outcome = self.predict("--phase", "topic", text="\n".join(row[0] for row in rows),
                               run=self.decoder, ranks=2)
        right = sum(line.split("\t")[0] == row[1]
                    for line, row in zip(outcome.out.splitlines(), rows, strict=True))
        accuracy = self.metrics("--phase", "topic", run=self.decoder)["metrics"]["accuracy"]
        self.assertAlmostEqual(accuracy, right / len(rows), places=12)

    # --- input as it comes

    def test_empty_lines_keep_their_place(self):
        text = "\ufeffthe old cat\r\n\r\n   \nthe new tree".encode()
        outcome = self.predict("--phase", "topic", text=text, ranks=2)
        lines = outcome.out.split("\n")
        self.assertEqual([bool(line) for line in lines], [True, False, False, True, False])
        plain = self.predict("--phase", "topic", text="the old cat\nthe new tree\n")
        self.assertEqual([line for line in lines if line], plain.out.splitlines())
        objects = self.predict("--phase", "topic", "--format", "jsonl", text=text).out.splitlines()
        self.assertEqual([line == "null" for line in objects], [False, True, True, False])
        for phase in ("topic", "crf"):
            self.assertEqual(self.predict("--phase", phase, text="").out, "")

    def test_long_texts_are_cut_with_one_warning(self):
        text = "the old cat sees a small dog . " * 20
        outcome = self.predict("--phase", "topic", text=f"{text}\nthe cat\n{text}\n", ranks=2)
        self.assertEqual(outcome.out.count("\n"), 3)
        self.assertEqual(outcome.err.count("2 of 3 samples did not fit into max_tokens (40)"), 1)

    def test_input_and_output_may_be_files(self):
        source = self.write("some text.txt", "the old cat\nthe new tree\n")
        output = self.scratch / "labels.tsv"
        self.assertEqual(self.predict("--phase", "topic", "--input", source, "--output", output).out,
                         "")
        self.assertEqual(output.read_text(),
                         self.predict("--phase", "topic", text=source.read_text()).out)

    def test_faults_of_the_input_are_named(self):
        for phase, text, words in (
                ("topic", "a cat\nthe cat\tanimal\n", "standard input:2: 2 texts between tabs; "
                                                      "write one text"),
                ("pair", "the cat\n", "standard input:1: 1 text between tabs; write two"),
                ("tag", "the\tO\n", "standard input:1: a tab"),
                ("answer", "who ?\n", "a question, a tab, and its context"),
                ("topic", b"a\nthe c\xe4t\n", "standard input:2: byte 6 of the line is not UTF-8"),
                ("topic", "x" * (1 << 20) + "y", "standard input:1: a line of more than")):
            for ranks in (None, 2) if phase == "tag" else (None,):
                outcome = polyphase("predict", self.encoder, "--phase", phase, text=text,
                                    ranks=ranks)
                self.assert_exit(outcome, DATA)
                self.assert_says(outcome, words)
        missing = polyphase("predict", self.encoder, "--phase", "topic", "--input", "none.txt")
        self.assert_exit(missing, DATA)
        self.assert_says(missing, "none.txt: cannot be opened")
        self.assert_exit(polyphase("predict", self.encoder, "--phase", "answer", "--input",
                                   self.write("no.json", "{}")), DATA)

    # --- choices

    def test_choices_that_cannot_be_are_explained(self):
        for command, run, arguments, words in (
                ("predict", self.encoder, ("--phase", "pretrain"), "phase pretrain is pretraining"),
                ("predict", self.decoder, ("--phase", "turn"), "use polyphase generate"),
                ("predict", self.encoder, ("--phase", "topics"), "no such phase; it has pretrain (done)"),
                ("predict", self.texts, (), "not the folder of a run"),
                ("evaluate", self.encoder, ("--phase", "pair", "--part", "test"), "has no test part"),
                ("evaluate", self.encoder, ("--phase", "topic", "--input", "x.tsv"),
                 "only question answering"),
                ("evaluate", self.encoder, ("--tensor", 3), "--tensor"),
                ("evaluate", self.encoder, ("--format", "xml"), "--format"),
                ("predict", self.encoder, ("--phase", "topic", "--tensor", 0), "--tensor")):
            outcome = polyphase(command, run, *arguments, text="the cat\n")
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, words)
        both = polyphase("predict", self.encoder, "--phase", "pretrain", text="a\n", ranks=2)
        self.assert_exit(both, USAGE)
        self.assertEqual(both.err.count("is pretraining"), 1)
        # The last phase that is done.
        self.assertEqual(self.metrics("--part", "train")["phase"], "answer")
        self.assert_exit(polyphase("evaluate", self.decoder), USAGE)  # turn has only a training part

    def test_a_phase_that_is_not_trained_is_refused(self):
        run = self.scratch / "young"
        self.assert_exit(polyphase("run", self.texts / "encoder.yaml", "--phase", "pretrain",
                                   *settings({"run_dir": run})), DONE)
        self.assertEqual(self.metrics(run=run)["phase"], "pretrain")
        outcome = polyphase("evaluate", run, "--phase", "topic")
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phase topic is pending and has no complete checkpoint")
        part = next((run / "round-1" / "01-pretrain").rglob("writer-0000.h5"))
        part.write_bytes(part.read_bytes()[:-64])
        outcome = polyphase("evaluate", run, ranks=2)
        self.assertIn(outcome.code, (DATA, SYSTEM), outcome)
        self.assert_says(outcome, part.name)


if __name__ == "__main__":
    unittest.main()
