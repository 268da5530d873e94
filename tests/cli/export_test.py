# SPDX-License-Identifier: Apache-2.0
"""`polyphase export` writes what the transformers library opens, with the numbers of the checkpoint.

Where POLYPHASE_TRANSFORMERS names a Python that has transformers and sentencepiece, that library computes what
`predict` and `generate` say; else only the files are looked at.
"""
import array
import json
import math
import os
import struct
import subprocess
import unittest

from families_test import FamilyRun
from job import DONE, SOURCE, RoadTest, polyphase
from used_runs import write_more_texts

USAGE = 64
PEER = os.environ.get("POLYPHASE_TRANSFORMERS")
T5 = """
name: turns
seed: 3
tokenizer: {kind: unigram, vocab_size: 120, corpora: [text]}
corpora:
  text:  {kind: text, files: [text.txt], valid: [valid.txt]}
  turns: {kind: generation, format: tsv, train: [turns.tsv]}
model: {family: t5, num_layers: 2, num_decoder_layers: 1, width: 32, num_heads: 2, max_tokens: 40, dropout: 0, attention_dropout: 0,
        activation: geglu, tied_output: false, relative_buckets: 8, relative_max_distance: 10}
phases:
  - {name: turn, task: {kind: generation}, data: {turns: 1.0}, batch: {sequences: 8}, optimizer: {learning_rate: 5e-3},
     stop: {steps: 60}}
"""
LORA = """
name: lora
seed: 3
tokenizer: {kind: unigram, vocab_size: 120, corpora: [text]}
corpora:
  text: {kind: text, files: [text.txt]}
  tags: {kind: tagging, train: [tags-train.conll]}
model: {family: bert, num_layers: 1, width: 32, num_heads: 4, max_tokens: 32}
phases:
  - {name: pretrain, objectives: {mlm: 1.0}, data: {text: 1.0}, batch: {sequences: 8}, stop: {steps: 1}}
  - {name: adapted, from: pretrain, lora: {rank: 4, alpha: 8, match: ["*.query.weight"]}, task: {kind: tagging}, data: {tags: 1.0},
     batch: {sequences: 8}, optimizer: {learning_rate: 5e-3}, stop: {steps: 4}}
"""


def read_safetensors(file):
    """Names, shapes and values; fails where the file breaks a rule of the format."""
    data = file.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__")
    body, tensors, end = data[8 + length:], {}, 0
    assert length % 8 == 0
    for name, entry in header.items():
        begin, last = entry["data_offsets"]
        assert begin == end and entry["dtype"] == "F32" and last - begin == 4 * math.prod(entry["shape"]), name
        values = array.array("f", body[begin:last])
        tensors[name], end = (entry["shape"], values), last
    assert end == len(body)
    return tensors


def read_checkpoint(checkpoint, name, scratch):
    out = scratch / "values.bin"
    subprocess.run(["h5dump", "-d", f"/parameters/{name}", "-b", "LE", "-o", out, checkpoint / "model.h5"], check=True,
                   capture_output=True)
    return array.array("f", out.read_bytes())


class ExportTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_more_texts(cls.texts)

    def exported(self, run, phase, *arguments):
        folder = self.scratch / f"{run.name}-{phase}"
        outcome = polyphase("export", run, "--phase", phase, "--output", folder, *arguments)
        self.assert_exit(outcome, DONE)
        return folder

    def family(self, name, **values):
        run = FamilyRun(self.scratch / name, self.texts, name, **{"phases.pretrain.optimizer.learning_rate": 5e-3, **values})
        return self.finished(run, ranks=None)

    def test_joined_and_transposed_tensors_have_the_checkpoints_numbers(self):
        run = self.family("gpt2")
        tensors = read_safetensors(self.exported(run.path, "pretrain") / "model.safetensors")
        checkpoint = run.checkpoints("pretrain")[-1]
        shape, values = tensors["transformer.h.1.attn.c_attn.weight"]
        self.assertEqual(shape, [32, 96])
        parts = [read_checkpoint(checkpoint, f"layers.1.attention.{part}.weight", self.scratch) for part in ("query", "key", "value")]
        for row in range(32):
            for column in range(96):
                part = parts[column // 32]
                self.assertEqual(values[row * 96 + column], part[column % 32 * 32 + row])
        _, table = tensors["transformer.wte.weight"]
        self.assertEqual(table, read_checkpoint(checkpoint, "embedding.token.weight", self.scratch))

    def test_low_rank_additions_are_in_the_weights(self):
        run = self.scratch / "lora"
        (self.texts / "lora.yaml").write_text(LORA)
        self.assert_exit(polyphase("run", self.texts / "lora.yaml", "--set", f"run_dir={run}"), DONE)
        tensors = read_safetensors(self.exported(run, "adapted") / "model.safetensors")
        self.assertFalse([name for name in tensors if "lora" in name])
        checkpoint = sorted(run.glob("round-1/*-adapted/checkpoints/step-*"))[-1]
        w, a, b = (read_checkpoint(checkpoint, f"layers.0.attention.query.{part}", self.scratch)
                   for part in ("weight", "lora_a", "lora_b"))
        rank, width = 4, 32
        _, sums = tensors["bert.encoder.layer.0.attention.self.query.weight"]
        self.assertTrue(any(b))
        for o in range(width):
            for i in range(width):
                added = 8 / rank * sum(b[o * rank + r] * a[r * width + i] for r in range(rank))
                self.assertAlmostEqual(sums[o * width + i], w[o * width + i] + added, delta=1e-6)

    def test_model_that_no_class_computes_is_refused_by_its_keys(self):
        run = self.finished(self.new_run("tiny"), "--phase", "pretrain", ranks=None)
        outcome = polyphase("export", run.path, "--phase", "pretrain", "--output", self.scratch / "none")
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "BertModel has norm: post")
        self.assertFalse((self.scratch / "none").exists())

    @unittest.skipUnless(PEER, "POLYPHASE_TRANSFORMERS names no Python that has transformers: nothing is computed")
    def test_transformers_compute_the_same(self):
        longer = {"phases.pretrain.stop.steps": 60}
        (self.texts / "turns.yaml").write_text(T5)
        self.assert_exit(polyphase("run", self.texts / "turns.yaml", "--set", f"run_dir={self.scratch / 't5'}"), DONE)
        self.compute(self.scratch / "t5", "turn", "generate")
        for family in ("gpt2", "llama"):
            run = self.finished(FamilyRun(self.scratch / f"{family}-long", self.texts, family, **longer), ranks=None)
            self.compute(run.path, "pretrain", "generate")
        self.compute(self.family("gpt2").path, "topic", "predict")
        self.compute(self.family("bert").path, "topic", "predict")

    def compute(self, run, phase, command):
        with self.subTest(run=run.name, phase=phase):
            lines = (self.texts / "turns.tsv").read_text().splitlines()[:6]
            texts = [" ".join(line.split("\t")[0].split()[:3]) for line in lines]
            arguments = ("--format", "jsonl") if command == "predict" else ("--max-new-tokens", "12")
            ours = polyphase(command, run, "--phase", phase, *arguments, text="\n".join(texts) + "\n")
            self.assert_exit(ours, DONE)
            theirs = subprocess.run([PEER, SOURCE / "tests" / "cli" / "transformers_say.py", command, self.exported(run, phase)],
                                    input="\n".join(texts) + "\n", check=True, capture_output=True, text=True).stdout
            if command == "generate":
                self.assertEqual([line.strip() for line in ours.out.splitlines()], theirs.splitlines())
                return
            for mine, other in zip(ours.out.splitlines(), theirs.splitlines(), strict=True):
                for p, q in zip(json.loads(mine)["probabilities"].values(), json.loads(other), strict=True):
                    self.assertAlmostEqual(p, q, delta=1e-5)


if __name__ == "__main__":
    unittest.main()
