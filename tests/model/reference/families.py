# SPDX-License-Identifier: Apache-2.0
"""Writes FAMILY_*.json beside bert_*.json: the losses of 20 AdamW steps of tiny models, computed in float64.

The models are those of transformer.py, the heads those of heads.py, the batches those of batches.py. Needs PyTorch and
NumPy; nothing of the build does. Usage: python tests/model/reference/families.py [FOLDER]

A file holds
  model        the keys of a recipe's section `model`
  phase        `objectives`, or `task`, and `label_smoothing`: the keys of a recipe's phase
  vocabulary   pieces; token_ids: rows of the token table (T5: with 100 sentinels behind the pieces)
  labels       names of classes or tags, in the order of their numbers
  optimizer    as in bert_*.json
  parameters   names, shapes, and whether weight decay is applied, in an order that gives each its ordinal p from 0;
               element i of a matrix starts at 0.3 · sin(1.7 + 0.61 i + 0.013 i² + 0.37 p), of a vector called gain at
               1 + 0.1 · sin(0.5 i + p), of any other at 0.05 · cos(0.9 i + 0.2 p), rounded to float32 (the square
               makes matrices of full rank, whose products do not cancel)
  batches      of the 20 steps: 4 sequences, one behind the other. All have `tokens`, `positions` and `starts` (sequence b
               is rows starts[b] to starts[b + 1]), `segments` where the model has them; a decoder with an encoder also
               `source` with the same. Beside them, by goal, rows counted from the batch's first:
                 target_rows, target_labels   every language model: rows that predict a token, and that token
                 turns                        of several language models: whose each sequence is, by its place in
                                              `objectives`
                 prefixes                     prefix_lm: so many tokens of each sequence are seen from everywhere
                 sequence_labels              sop, classification
                 sequence_values              regression
                 label_sets                   multi_label: for each sequence a 0 or 1 for each label
                 token_labels                 tagging: -1 on rows without
                 answer_first, answer_last    question_answering: rows; both starts[b] where there is no answer
  loss, losses, grad_norm   a step each: the weighted sum, each goal's own mean, the norm before clipping
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch

from batches import NUM_SENTINELS, VOCABULARY, has_decoder, make_batch
from bert import BETA1, BETA2, DECAY, EPSILON, LEARNING_RATE, MAX_NORM, STEPS, write_json
from heads import make_heads
from transformer import DEFAULTS, Body

GPT2 = {"family": "gpt", "activation": "gelu_tanh"}
LLAMA = {"family": "gpt", "positions": "rotary", "norm_kind": "rms", "norm_epsilon": 1e-6, "activation": "swiglu",
         "biases": False, "tied_output": False, "num_heads": 8, "num_key_heads": 4, "head_width": 4}
T5 = {"family": "t5", "positions": "relative", "norm_kind": "rms", "norm_epsilon": 1e-6, "activation": "relu",
      "biases": False, "scaled_scores": False}
T5_1_1 = T5 | {"activation": "geglu", "tied_output": False, "num_decoder_layers": 3}
BERT = {"segments": True, "norm": "post", "norm_epsilon": 1e-12}
ROBERTA = {"norm": "post"}
TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]
CLASSES = ["k0", "k1", "k2", "k3", "k4"]

CASES = {
    "gpt2_clm": (GPT2, {"objectives": {"clm": 1.0}}, []),
    "gpt2_prefix_lm": (GPT2, {"objectives": {"prefix_lm": 1.0}, "label_smoothing": 0.1}, []),
    "gpt2_generation": (GPT2, {"task": {"kind": "generation"}}, []),
    "gpt2_classification": (GPT2, {"task": {"kind": "classification", "pooling": "last"}}, CLASSES),
    "llama_clm": (LLAMA, {"objectives": {"clm": 1.0}}, []),
    "llama_prefix_lm": (LLAMA, {"objectives": {"prefix_lm": 1.0}}, []),
    "t5_1_0_span": (T5, {"objectives": {"span": 1.0}}, []),
    "t5_1_1_span": (T5_1_1, {"objectives": {"span": 1.0}}, []),
    "t5_1_0_generation": (T5, {"task": {"kind": "generation"}, "label_smoothing": 0.1}, []),
    "t5_1_1_generation": (T5_1_1, {"task": {"kind": "generation"}}, []),
    "roberta_mlm": (ROBERTA, {"objectives": {"mlm": 1.0}}, []),
    "sinusoidal_mlm_sop": (BERT | {"positions": "sinusoidal"}, {"objectives": {"mlm": 1.0, "sop": 0.5}}, []),
    "relative_mlm": (ROBERTA | {"norm": "pre", "positions": "relative"}, {"objectives": {"mlm": 1.0}}, []),
    "modern_mlm": (LLAMA | {"family": "bert", "activation": "geglu", "biases": True, "tied_output": True},
                   {"objectives": {"mlm": 1.0}}, []),
    "bert_classification": (BERT, {"task": {"kind": "classification", "class_weights": {"k1": 2.5, "k3": 0.5}},
                                   "label_smoothing": 0.1}, CLASSES),
    "bert_regression": (BERT, {"task": {"kind": "regression"}}, []),
    "bert_multi_label": (BERT | {"norm": "pre"}, {"task": {"kind": "multi_label", "pooling": "first"}}, CLASSES),
    "bert_crf": (BERT | {"norm": "pre"}, {"task": {"kind": "tagging", "head": "crf"}}, TAGS),
    "llama_crf": (LLAMA, {"task": {"kind": "tagging", "head": "crf"}}, TAGS),
    "bert_question_answering": (BERT, {"task": {"kind": "question_answering"}}, []),
    "t5_1_1_crf": (T5_1_1, {"task": {"kind": "tagging", "head": "crf"}}, TAGS),
    "t5_1_1_classification": (T5_1_1, {"task": {"kind": "classification"}}, CLASSES),
    "t5_1_1_question_answering": (T5_1_1, {"task": {"kind": "question_answering"}}, []),
    "bert_pairs": (BERT, {"task": {"kind": "classification", "pooling": "pair"}}, CLASSES),
    "t5_rotary_generation": (T5_1_1 | {"positions": "rotary"}, {"task": {"kind": "generation"}}, []),
    "gpt2_clm_prefix_lm": (GPT2, {"objectives": {"clm": 1.0, "prefix_lm": 0.5}}, []),
    "t5_1_1_prefix_lm_span": (T5_1_1, {"objectives": {"prefix_lm": 0.5, "span": 1.0}}, []),
    "bert_ngrams": (BERT, {"task": {"kind": "classification", "ngrams": {"order": 3, "buckets": 40}}}, CLASSES),
}


class Model(torch.nn.Module):
    def __init__(self, settings, phase, labels, num_token_ids):
        super().__init__()
        self.body = Body(settings, num_token_ids, has_decoder(settings, phase))
        self.head, self.by_goal = make_heads(settings, phase, labels, num_token_ids)
        self.weights = phase.get("objectives", {})

    def parameters_by_name(self):
        return {name.removeprefix("body."): p for name, p in self.named_parameters()}

    def losses(self, batch):
        """The mean loss of each goal, by name."""
        def part(rows, n):
            at = slice(int(rows["starts"][n]), int(rows["starts"][n + 1]))
            return {key: rows[key][at] for key in ("tokens", "positions", "segments") if key in rows}

        hidden = [self.body.hidden(part(batch, n), part(batch["source"], n) if "source" in batch else None,
                                   int(batch["prefixes"][n]) if "prefixes" in batch else 0)
                  for n in range(len(batch["starts"]) - 1)]
        table = self.body.embedding.token.weight
        return {goal: head.loss(torch.cat(hidden), batch, table) for goal, head in self.by_goal.items()}


def initialise(parameters, first_ordinal=0):
    for ordinal, (name, p) in enumerate(parameters.items(), start=first_ordinal):
        i = np.arange(p.numel(), dtype=np.float64)
        if p.dim() == 2:
            values = 0.3 * np.sin(1.7 + 0.61 * i + 0.013 * i * i + 0.37 * ordinal)
        elif name.endswith(".gain"):
            values = 1.0 + 0.1 * np.sin(0.5 * i + ordinal)
        else:
            values = 0.05 * np.cos(0.9 * i + 0.2 * ordinal)
        p.data = torch.tensor(values.astype(np.float32).astype(np.float64).reshape(p.shape))


def decays(name, parameter):
    """Matrices, but not tables of scores: relative positions and the transitions of a CRF."""
    return parameter.dim() == 2 and not name.endswith(("relative_positions.weight", "crf.transitions"))


def clip(parameters):
    """Scales all gradients to a global norm of at most MAX_NORM; returns the norm before."""
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    for g in gradients:
        g.mul_(min(1.0, MAX_NORM / norm))
    return norm


def tensors(batch):
    return {key: tensors(value) if isinstance(value, dict) else torch.tensor(value) for key, value in batch.items()}


def train(model, batches):
    parameters = model.parameters_by_name()
    groups = [{"params": [p for name, p in parameters.items() if decays(name, p) == with_decay],
               "weight_decay": DECAY if with_decay else 0.0} for with_decay in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON)
    record = {"loss": [], "losses": {goal: [] for goal in model.by_goal}, "grad_norm": []}
    for batch in batches:
        for p in parameters.values():  # also what a step does not use decays and ages, as in the C++ code
            p.grad = torch.zeros_like(p)
        parts = model.losses(tensors(batch))
        total = sum(model.weights.get(goal, 1.0) * part for goal, part in parts.items())
        total.backward()
        record["loss"].append(float(total.detach()))
        for goal, part in parts.items():
            record["losses"][goal].append(float(part.detach()))
        record["grad_norm"].append(clip(parameters))
        optimizer.step()
    return record


def document(name, seed):
    changes, phase, labels = CASES[name]
    settings = DEFAULTS | changes
    num_token_ids = VOCABULARY + (NUM_SENTINELS if settings["family"] == "t5" else 0)
    model = Model(settings, phase, labels, num_token_ids)
    parameters = model.parameters_by_name()
    initialise(parameters)
    rng = np.random.default_rng(seed)
    batches = [make_batch(settings, phase, labels, rng) for _ in range(STEPS)]
    listed = [{"name": n, "shape": list(p.shape), "decays": decays(n, p)} for n, p in parameters.items()]
    return {
        "case": name, "model": settings, "phase": phase, "vocabulary": VOCABULARY, "token_ids": num_token_ids,
        "labels": labels,
        "optimizer": {"learning_rate": LEARNING_RATE, "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON,
                      "weight_decay": DECAY, "max_grad_norm": MAX_NORM},
        "parameters": listed, "batches": batches, **train(model, batches),
    }


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # the tensors are tiny
    for seed, name in enumerate(CASES, start=101):
        case = document(name, seed)
        text = write_json(case) + "\n"
        json.loads(text)
        (folder / f"family_{name}.json").write_text(text)
        print(f"{name}: {len(text)} bytes, loss {case['loss'][0]:.6f} -> {case['loss'][-1]:.6f}, "
              f"gradient norm {case['grad_norm'][0]:.4f} -> {case['grad_norm'][-1]:.4f}")


if __name__ == "__main__":
    main()
