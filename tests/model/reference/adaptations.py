# SPDX-License-Identifier: Apache-2.0
"""Writes lora_*.json and distil_*.json: 20 AdamW steps with low-rank additions, and of students with a teacher, in float64.

Models, batches and the form of the files are those of families.py. Low-rank additions: Hu et al. 2022 (arXiv:2106.09685,
section 4.1). Soft labels: Hinton et al. 2015 (arXiv:1503.02531, section 2): the loss of a goal is
(1 - weight) · hard + weight · T² · KL(teacher || student), both softmaxes at the temperature T (of multi_label each label's
two-way softmax, of question answering one of each end of the answer, of a random field the distribution over all ways to
tag a sentence, Wang et al. 2021, arXiv:2010.05010), of a regression (1 - weight) · hard + weight · squared difference; beside it stands
`hidden` times the mean squared difference of final hidden states (Jiao et al. 2020, arXiv:1909.10351, equation 8, with
equal widths), and `attention` times the divergence of the distributions of self-attention (Wang et al. 2020,
arXiv:2002.10957, equation 6), a mean over heads and queries. With `layers: all` both are means over the student's layers,
each paired with an evenly spaced one of the teacher's, in the encoder as in the decoder. A case with `teacher` has its model's other keys and its parameters there; their ordinals count from 1000.
Usage: python tests/model/reference/adaptations.py [FOLDER]
"""

import fnmatch
import json
import pathlib
import sys

import numpy as np
import torch

import heads
from batches import NUM_SENTINELS, VOCABULARY, make_batch
from bert import BETA1, BETA2, DECAY, EPSILON, LEARNING_RATE, MAX_NORM, STEPS, write_json
from families import BERT, CLASSES, GPT2, LLAMA, ROBERTA, T5_1_1, TAGS, Model, clip, decays, initialise, tensors
from transformer import DEFAULTS, Linear

TEACHER_ORDINAL = 1000
LORA = {"rank": 2, "alpha": 3.0, "match": ["*.attention.*", "*.feed_forward.in.weight"]}

CASES = {
    "lora_clm": (GPT2, {"objectives": {"clm": 1.0}, "lora": LORA}, [], None),
    "lora_generation": (T5_1_1, {"task": {"kind": "generation"}, "lora": LORA | {"rank": 3, "match": ["*"]}}, [], None),
    "lora_classification": (BERT, {"task": {"kind": "classification"}, "lora": LORA}, CLASSES, None),
    "distil_mlm_sop": (ROBERTA | {"segments": True}, {"objectives": {"mlm": 1.0, "sop": 0.5},
                                                     "distil": {"temperature": 3.0, "weight": 0.9, "hidden": 0.2}}, [],
                       {"num_layers": 3}),
    "distil_classification": (BERT, {"task": {"kind": "classification", "class_weights": {"k1": 2.5}},
                                     "distil": {"temperature": 1.5, "weight": 0.3, "hidden": 0.5}}, CLASSES,
                              {"num_layers": 1}),
    "distil_tagging": (BERT | {"norm": "pre"}, {"task": {"kind": "tagging"},
                                                "distil": {"temperature": 2.0, "weight": 1.0, "hidden": 0.0}}, TAGS,
                       {"num_layers": 4}),
    "distil_generation": (T5_1_1, {"task": {"kind": "generation"},
                                   "distil": {"temperature": 2.0, "weight": 0.5, "hidden": 1.0}}, [],
                          {"num_decoder_layers": 2}),
    "distil_clm": (GPT2, {"objectives": {"clm": 1.0}, "label_smoothing": 0.1,
                          "distil": {"temperature": 2.0, "weight": 0.5, "hidden": 0.0}}, [], {"num_layers": 3}),
    "distil_layers_classification": (BERT, {"task": {"kind": "classification"},
                                            "distil": {"temperature": 2.0, "weight": 0.5, "hidden": 0.5,
                                                       "attention": 0.7, "layers": "all"}}, CLASSES, {"num_layers": 4}),
    "distil_layers_generation": (T5_1_1, {"task": {"kind": "generation"},
                                          "distil": {"temperature": 2.0, "weight": 0.5, "hidden": 0.3, "attention": 1.5,
                                                     "layers": "all"}}, [],
                                 {"num_layers": 3, "num_decoder_layers": 5}),
    "distil_attention_prefix_lm": (LLAMA, {"objectives": {"prefix_lm": 1.0},
                                           "distil": {"temperature": 2.0, "weight": 0.0, "hidden": 0.0, "attention": 2.0,
                                                      "layers": "last"}}, [], {"num_layers": 3}),
    "distil_regression": (BERT, {"task": {"kind": "regression"},
                                 "distil": {"temperature": 2.0, "weight": 0.6, "hidden": 0.0}}, [], {"num_layers": 3}),
    "distil_multi_label": (BERT, {"task": {"kind": "multi_label", "pooling": "first"},
                                  "distil": {"temperature": 3.0, "weight": 0.7, "hidden": 0.0}}, CLASSES,
                           {"num_layers": 3}),
    "distil_question_answering": (BERT, {"task": {"kind": "question_answering"},
                                         "distil": {"temperature": 2.5, "weight": 0.8, "hidden": 0.0}}, [],
                                  {"num_layers": 3}),
    "distil_crf": (BERT | {"norm": "pre"}, {"task": {"kind": "tagging", "head": "crf"},
                                            "distil": {"temperature": 2.0, "weight": 0.6, "hidden": 0.0}}, TAGS,
                   {"num_layers": 3}),
}


class Adapted(Linear):
    """A product with an addition of low rank to its weight."""

    def forward(self, x):
        y = x @ (self.weight + self.scale * self.lora_b @ self.lora_a).T
        return y if self.bias is None else y + self.bias


def adapt(model, lora):
    for name, module in model.body.named_modules():
        if not isinstance(module, Linear):
            continue
        if any(fnmatch.fnmatchcase(f"{name}.weight", pattern) for pattern in lora["match"]):
            outputs, inputs = module.weight.shape
            module.__class__ = Adapted
            module.scale = lora["alpha"] / lora["rank"]
            module.lora_a = torch.nn.Parameter(torch.zeros(lora["rank"], inputs))
            module.lora_b = torch.nn.Parameter(torch.zeros(outputs, lora["rank"]))


def is_trained(name, phase):
    return "lora" not in phase or name.endswith(("lora_a", "lora_b")) or name.startswith("head.")


class Listener:
    """Hears the logits of every goal and what goes on inside while a model computes its losses."""

    LOSSES = ("cross_entropy", "squared_error", "sigmoid_cross_entropy", "chain_nats")

    def __init__(self):
        self.originals = {name: getattr(heads, name) for name in self.LOSSES}

    def hear(self, model, batch):
        """The losses; the logits; and of each stack, encoder first, its layers' hidden states and attention.

        Hidden states of a layer are [rows, C], of the last behind the final norm; attention a list of one sequence and
        head after the other, all heads of a sequence together.
        """
        logits = []

        def listening(original):
            def loss(outputs, *given, **more):
                logits.append(outputs)
                return original(outputs, *given, **more)
            return loss

        for name, original in self.originals.items():
            setattr(heads, name, listening(original))
        stacks = [model.body] + ([model.body.decoder] if model.body.with_decoder else [])
        hidden, attention, hooks = [], [], []
        for stack in stacks:
            outputs = list(stack.layers)
            if stack.m["norm"] == "pre":
                outputs[-1] = stack.final.norm
            hidden.append([[] for _ in outputs])
            for states, module in zip(hidden[-1], outputs):
                hooks.append(module.register_forward_hook(lambda m, given, x, states=states: states.append(x)))
            for layer in stack.layers:
                layer.attention.heard = []
            attention.append([layer.attention.heard for layer in stack.layers])
        losses = model.losses(batch)
        for name, original in self.originals.items():
            setattr(heads, name, original)
        for hook in hooks:
            hook.remove()
        for stack in stacks:
            for layer in stack.layers:
                layer.attention.heard = None
        return losses, logits, [[torch.cat(states) for states in stack] for stack in hidden], attention


def matched(layers, taught, which):
    """Pairs of a student's and a teacher's layers."""
    if which == "last":
        return [(layers[-1], taught[-1])]
    n, of = len(layers), len(taught)
    return [(layers[i], taught[(i + 1) * of // n - 1]) for i in range(n)]


def divergence(student, teacher):
    """Summed over the rows of all sequences and heads, and the number of those."""
    total = 0.0
    for s, t in zip(student, teacher):
        seen = t > 0
        total = total + (t[seen] * (t[seen].log() - s[seen].log())).sum()
    return total, sum(len(s) for s in student)


def divergence_of_chains(student, teacher, t):
    """KL(teacher || student) of the distributions over all paths, scores divided by t.

    It is the Bregman divergence of the log sum, whose gradient by the scores are the expected numbers of their uses.
    """
    taught = [(x / t).detach().requires_grad_() for x in teacher]
    log_sum = heads.chain_log_sum(*taught)
    expected = torch.autograd.grad(log_sum, taught)
    own = [x / t for x in student]
    difference = sum((n * (x - y)).sum() for n, x, y in zip(expected, own, taught))
    return heads.chain_log_sum(*own) - log_sum.detach() - difference, len(own[0])


def distil(student, teacher, batch, settings):
    listener, t, w = Listener(), settings["temperature"], settings["weight"]
    which = settings.get("layers", "last")
    hard, logits, hidden, attention = listener.hear(student, batch)
    with torch.no_grad():
        _, taught, taught_hidden, taught_attention = listener.hear(teacher, batch)
    losses = {}
    for (goal, loss), z, y in zip(hard.items(), logits, taught):
        if goal == "regression":
            losses[goal] = (1 - w) * loss + w * ((z - y) ** 2).mean()
            continue
        if isinstance(z, tuple):  # sentence by sentence
            parts = [divergence_of_chains(own, other, t) for own, other in zip(logits, taught)]
            soft = sum(part for part, _ in parts) / sum(words for _, words in parts)
            losses[goal] = (1 - w) * loss + w * t * t * soft
            continue
        if goal == "question_answering":  # end by end of every answer, each with as many rows as its sequence
            soft = sum((torch.softmax(y / t, -1) * (torch.log_softmax(y / t, -1) - torch.log_softmax(z / t, -1))).sum()
                       for z, y in zip(logits, taught)) / len(logits)
            losses[goal] = (1 - w) * loss + w * t * t * soft
            continue
        if goal == "multi_label":  # each label's two classes
            z, y = (torch.stack([torch.zeros_like(x), x], dim=-1) for x in (z, y))
        log_p, log_q = torch.log_softmax(y / t, dim=-1), torch.log_softmax(z / t, dim=-1)
        soft = (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()
        losses[goal] = (1 - w) * loss + w * t * t * soft
    if settings["hidden"] > 0:
        stacks = list(zip(hidden, taught_hidden))
        if which == "last":
            stacks = stacks[-1:]  # the model's output
        total, rows = 0.0, 0
        for own, other in stacks:
            pairs = matched(own, other, which)
            rows += len(pairs[0][0])
            total = total + sum(((x - y) ** 2).mean(dim=-1).sum() for x, y in pairs) / len(pairs)
        losses["hidden"] = total / rows
    if settings.get("attention", 0.0) > 0:
        total, rows = 0.0, 0
        for own, other in zip(attention, taught_attention):
            pairs = matched(own, other, which)
            parts = [divergence(x, y) for x, y in pairs]
            rows += parts[0][1] // student.body.m["num_heads"]
            total = total + sum(part for part, _ in parts) / (len(pairs) * student.body.m["num_heads"])
        losses["attention"] = total / rows
    return losses


def train(model, teacher, batches, phase):
    parameters = model.parameters_by_name()
    groups = [{"params": [p for name, p in parameters.items() if decays(name, p) == with_decay],
               "weight_decay": DECAY if with_decay else 0.0} for with_decay in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON)
    settings = phase.get("distil", {"hidden": 0.0})
    weights = model.weights | {"hidden": settings["hidden"], "attention": settings.get("attention", 0.0)}
    record = {"loss": [], "losses": {}, "grad_norm": []}
    for batch in map(tensors, batches):
        for name, p in parameters.items():
            p.grad = torch.zeros_like(p)
        parts = model.losses(batch) if teacher is None else distil(model, teacher, batch, settings)
        total = sum(weights.get(goal, 1.0) * part for goal, part in parts.items())
        total.backward()
        for name, p in parameters.items():
            if not is_trained(name, phase):
                p.grad = None
        record["loss"].append(float(total.detach()))
        for goal, part in parts.items():
            record["losses"].setdefault(goal, []).append(float(part.detach()))
        record["grad_norm"].append(clip(parameters))
        optimizer.step()
    return record


def listed(parameters):
    return [{"name": n, "shape": list(p.shape), "decays": decays(n, p)} for n, p in parameters.items()]


def make_model(settings, phase, labels):
    num_token_ids = VOCABULARY + (NUM_SENTINELS if settings["family"] == "t5" else 0)
    return Model(settings, phase, labels, num_token_ids), num_token_ids


def document(name, seed):
    changes, phase, labels, deeper = CASES[name]
    settings = DEFAULTS | changes
    model, num_token_ids = make_model(settings, phase, labels)
    if "lora" in phase:
        adapt(model, phase["lora"])
    parameters = model.parameters_by_name()
    initialise(parameters)
    teacher, about_teacher = None, {}
    if deeper is not None:
        teacher, _ = make_model(settings | deeper, phase, labels)
        taught = teacher.parameters_by_name()
        initialise(taught, TEACHER_ORDINAL)
        about_teacher = {"teacher": {"model": deeper, "parameters": listed(taught)}}
    rng = np.random.default_rng(seed)
    batches = [make_batch(settings, phase, labels, rng) for _ in range(STEPS)]
    return {
        "case": name, "model": settings, "phase": phase, "vocabulary": VOCABULARY, "token_ids": num_token_ids,
        "labels": labels,
        "optimizer": {"learning_rate": LEARNING_RATE, "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON,
                      "weight_decay": DECAY, "max_grad_norm": MAX_NORM},
        "parameters": listed(parameters), **about_teacher, "batches": batches,
        **train(model, teacher, batches, phase),
    }


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES, start=401):
        case = document(name, seed)
        text = write_json(case) + "\n"
        json.loads(text)
        (folder / f"{name}.json").write_text(text)
        print(f"{name}: {len(text)} bytes, loss {case['loss'][0]:.6f} -> {case['loss'][-1]:.6f}, "
              f"gradient norm {case['grad_norm'][0]:.4f} -> {case['grad_norm'][-1]:.4f}")


if __name__ == "__main__":
    main()
