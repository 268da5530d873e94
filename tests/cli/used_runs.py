# SPDX-License-Identifier: Apache-2.0
"""Runs of every family and task on small made-up texts, for tests that use trained models."""
import json
import random

from job import DONE, NOUNS, RoadTest, polyphase, sentence, settings

CORPORA = """
corpora:
  text:    {kind: text, files: [text.txt], valid_fraction: 0.1}
  topics:  {kind: classification, train: [topics-train.tsv], test: [topics-test.tsv]}
  pairs:   {kind: classification, train: [pairs.tsv]}
  numbers: {kind: regression, train: [numbers.tsv]}
  sets:    {kind: multi_label, train: [sets.tsv]}
  tags:    {kind: tagging, train: [tags-train.conll], test: [tags-test.conll]}
  answers: {kind: question_answering, train: [answers.json]}
"""

PHASE = ("  - {{name: {name}, task: {{kind: {task}}}, data: {{{corpus}: 1.0}}, dropout: 0, "
         "optimizer: {{learning_rate: 3e-3}}, batch: {{sequences: 16, micro_batch: 4}}, "
         "stop: {{steps: {steps}}}}}\n")

ENCODER = """
name: use
seed: 3
tokenizer: {kind: unigram, vocab_size: 120, corpora: [text]}
""" + CORPORA + """
model: {family: bert, num_layers: 1, width: 32, num_heads: 2, max_tokens: 40, norm: pre, matches: true}
phases:
  - {name: pretrain, objectives: {mlm: 1.0}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 3}}
""" + "".join(PHASE.format(name=name, task=task, corpus=corpus, steps=steps)
              for name, task, corpus, steps in (
                  ("topic", "classification", "topics", 150), ("pair", "classification", "pairs", 8),
                  ("number", "regression", "numbers", 30), ("set", "multi_label", "sets", 60),
                  ("tag", "tagging", "tags", 30), ("crf", "tagging, head: crf", "tags", 30),
                  ("answer", "question_answering", "answers", 200)))

DECODER = """
name: use-gpt
seed: 3
tokenizer: {kind: char, vocab_size: 60, whitespace: keep, corpora: [book]}
corpora:
  book:   {kind: text, layout: raw, files: [text.txt], valid: [valid.txt]}
  lines:  {kind: text, files: [text.txt], valid: [valid.txt]}
  topics: {kind: classification, train: [topics-train.tsv], test: [topics-test.tsv]}
  turns:  {kind: generation, format: tsv, train: [turns.tsv]}
model: {family: gpt, num_layers: 1, width: 32, num_heads: 2, max_tokens: 96}
phases:
  - {name: book, objectives: {clm: 1.0}, data: {book: 1.0}, batch: {sequences: 8}, stop: {steps: 10}}
  - {name: topic, from: book, task: {kind: classification, pooling: last}, data: {topics: 1.0},
     batch: {sequences: 16, micro_batch: 4}, stop: {steps: 10}}
  - {name: lines, objectives: {clm: 1.0}, data: {lines: 1.0}, batch: {sequences: 8}, stop: {steps: 3}}
  - {name: turn, from: book, task: {kind: generation}, data: {turns: 1.0}, batch: {sequences: 8},
     stop: {steps: 2}}
"""

ENCODER_DECODER = """
name: use-t5
seed: 3
tokenizer: {kind: unigram, vocab_size: 120, corpora: [text]}
corpora:
  text:  {kind: text, files: [text.txt], valid: [valid.txt]}
  turns: {kind: generation, format: tsv, train: [turns.tsv], test: [turns.tsv]}
model: {family: t5, num_layers: 1, width: 32, num_heads: 2, max_tokens: 40}
phases:
  - {name: spans, objectives: {span: 1.0}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 3}}
  - {name: turn, from: spans, task: {kind: generation}, data: {turns: 1.0}, batch: {sequences: 8},
     stop: {steps: 3}}
"""


def question(draw):
    """A context of some sentences, a question about the thing that someone takes, and its answer."""
    sentences = [sentence(draw)[0] for _ in range(draw.randint(1, 3))]
    words = [word for words in sentences for word in words]
    context = " ".join(words)
    noun = sentences[0][2]
    return context, f"who {sentences[0][3]} ?", noun, context.index(noun)


def squad(questions):
    return {"data": [{"paragraphs": [
        {"context": context, "qas": [{"id": f"q{number}", "question": asked, "answers": [
            {"text": answer, "answer_start": place}]}]}
        for number, (context, asked, answer, place) in enumerate(questions)]}]}


def write_more_texts(folder):
    draw = random.Random(5)
    made = [sentence(draw) for _ in range(64)]
    lines = [" ".join(words) for words, _ in made]
    kinds = [kind for _, kind in made]
    nouns = {noun for names in NOUNS.values() for noun in names}
    counted = [sum(word in nouns for word in words) + ("old" in words) for words, _ in made]
    both = [",".join(sorted({k for k in NOUNS for noun in NOUNS[k] if noun in words}))
            for words, _ in made]
    files = {"pairs.tsv": [f"{a}\t{b}\t{'same' if j == k else 'other'}" for a, b, j, k in
                           zip(lines, lines[1:], kinds, kinds[1:])],
             "numbers.tsv": [f"{line}\t{count}" for line, count in zip(lines, counted)],
             "sets.tsv": [f"{line}\t{labels}" for line, labels in zip(lines, both)],
             "turns.tsv": [f"{line}\t{kind}" for line, kind in zip(lines, kinds)],
             "valid.txt": lines[:10] + [""] + lines[10:20]}
    for name, rows in files.items():
        (folder / name).write_text("\n".join(rows) + "\n")
    (folder / "answers.json").write_text(json.dumps(squad([question(draw) for _ in range(32)])))


class UsedRuns(RoadTest):
    """A test on run folders that are trained once, for all of its methods; `encoder` is one of them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_more_texts(cls.texts)

    @classmethod
    def trained(cls, name, recipe, *arguments, ranks=None):
        (cls.texts / f"{name}.yaml").write_text(recipe)
        run = cls.scratch / name
        outcome = polyphase("run", cls.texts / f"{name}.yaml", *arguments,
                            *settings({"run_dir": run}), ranks=ranks)
        assert outcome.code == DONE, outcome
        return run

    def lines_of(self, name):
        return (self.texts / name).read_text().splitlines()

    def write(self, name, text):
        path = self.scratch / name
        path.write_text(text)
        return path

    def predict(self, *arguments, text=None, ranks=None, run=None):
        outcome = polyphase("predict", run or self.encoder, *arguments, text=text, ranks=ranks)
        self.assert_exit(outcome, DONE)
        return outcome

    def metrics(self, *arguments, ranks=None, run=None):
        outcome = polyphase("evaluate", run or self.encoder, *arguments, "--format", "json",
                            ranks=ranks)
        self.assert_exit(outcome, DONE)
        return json.loads(outcome.out)
