# SPDX-License-Identifier: Apache-2.0
"""Writes bert_*.json: the losses of 20 AdamW steps of tiny BERT models, computed in float64.

An implementation that shares nothing with the C++ code: plain tensor operations, one sequence at a time, gradients
by automatic differentiation. Model: Devlin et al. 2018 (arXiv:1810.04805) on Vaswani et al. 2017 (arXiv:1706.03762,
equation 1); pre-norm placement: Xiong et al. 2020 (arXiv:2002.04745); GELU: Hendrycks and Gimpel 2016
(arXiv:1606.08415); AdamW: Loshchilov and Hutter 2019 (arXiv:1711.05101, algorithm 2).

Needs PyTorch and NumPy; nothing of the build does. Usage: python tests/model/reference/bert.py [FOLDER]
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch

VOCABULARY, WIDTH, HEADS, LAYERS, FEED_FORWARD = 50, 16, 4, 2, 32
POSITIONS, SEGMENTS = 16, 2
STEPS, SEQUENCES = 20, 4
NORM_EPSILON = 1e-12
MASK_TOKEN = 4
LEARNING_RATE, BETA1, BETA2, EPSILON, DECAY, MAX_NORM = 1e-3, 0.9, 0.999, 1e-8, 0.01, 1.0

CASES = {
    "postnorm_pretraining": {"norm": "post", "objectives": {"mlm": 1.0, "nsp": 1.0}},
    "prenorm_pretraining": {"norm": "pre", "objectives": {"mlm": 1.0, "nsp": 1.0}},
    "postnorm_classification": {"norm": "post", "objectives": {"classification": 1.0}, "classes": 5},
    "prenorm_tagging": {"norm": "pre", "objectives": {"tagging": 1.0}, "classes": 7},
}


def parameter_shapes(case):
    """Names and shapes in the fixed order that also gives each parameter its ordinal."""
    c, f = WIDTH, FEED_FORWARD

    def norm(name):
        return [(f"{name}.gain", [c]), (f"{name}.shift", [c])]

    shapes = [("embedding.token.weight", [VOCABULARY, c]), ("embedding.position.weight", [POSITIONS, c]),
              ("embedding.segment.weight", [SEGMENTS, c])]
    if case["norm"] == "post":
        shapes += norm("embedding.norm")
    for layer in range(LAYERS):
        attention, feed = f"layers.{layer}.attention", f"layers.{layer}.feed_forward"
        shapes += [(f"{attention}.{part}.weight", [c, c]) for part in ("query", "key", "value")]
        shapes += [(f"{attention}.{part}.bias", [c]) for part in ("query", "key", "value")]
        shapes += [(f"{attention}.output.weight", [c, c]), (f"{attention}.output.bias", [c])]
        shapes += norm(f"{attention}.norm")
        shapes += [(f"{feed}.in.weight", [f, c]), (f"{feed}.in.bias", [f])]
        shapes += [(f"{feed}.out.weight", [c, f]), (f"{feed}.out.bias", [c])]
        shapes += norm(f"{feed}.norm")
    if case["norm"] == "pre":
        shapes += norm("final.norm")
    if "mlm" in case["objectives"]:
        shapes += [("head.mlm.transform.weight", [c, c]), ("head.mlm.transform.bias", [c])]
        shapes += norm("head.mlm.norm") + [("head.mlm.bias", [VOCABULARY])]
    if "nsp" in case["objectives"]:
        shapes += [("head.nsp.pool.weight", [c, c]), ("head.nsp.pool.bias", [c])]
        shapes += [("head.nsp.output.weight", [2, c]), ("head.nsp.output.bias", [2])]
    for task in ("classification", "tagging"):
        if task in case["objectives"]:
            k = case["classes"]
            shapes += [(f"head.{task}.output.weight", [k, c]), (f"head.{task}.output.bias", [k])]
    return shapes


def initial_value(name, shape, ordinal):
    """A formula instead of a random generator; rounded to float32, which is what the C++ code starts from."""
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    if len(shape) == 2:
        values = 0.3 * np.sin(1.7 + 0.61 * i + 0.37 * ordinal)
    elif name.endswith(".gain"):
        values = 1.0 + 0.1 * np.sin(0.5 * i + ordinal)
    else:
        values = 0.05 * np.cos(0.9 * i + 0.2 * ordinal)
    return torch.tensor(values.astype(np.float32).astype(np.float64).reshape(shape), requires_grad=True)


def make_batch(case, rng):
    """Sequences of 5 to 14 tokens, one behind the other, with the labels that the case's objectives need."""
    batch = {"tokens": [], "positions": [], "segments": [], "starts": [0]}
    for _ in range(SEQUENCES):
        length = int(rng.integers(5, 15))
        first = int(rng.integers(2, length))
        batch["tokens"] += rng.integers(5, VOCABULARY, length).tolist()
        batch["positions"] += list(range(length))
        batch["segments"] += [0] * first + [1] * (length - first)
        batch["starts"].append(len(batch["tokens"]))
    rows = len(batch["tokens"])
    if "mlm" in case["objectives"]:
        masked = sorted(rng.choice(rows, size=max(3, round(0.2 * rows)), replace=False).tolist())
        batch["masked_rows"] = masked
        batch["masked_labels"] = [batch["tokens"][row] for row in masked]
        for n, row in enumerate(masked):  # mostly the mask, sometimes another token, sometimes itself
            if n % 5 < 3:
                batch["tokens"][row] = MASK_TOKEN
            elif n % 5 == 3:
                batch["tokens"][row] = int(rng.integers(5, VOCABULARY))
    if "nsp" in case["objectives"]:
        batch["sequence_labels"] = rng.integers(0, 2, SEQUENCES).tolist()
    if "classification" in case["objectives"]:
        batch["sequence_labels"] = rng.integers(0, case["classes"], SEQUENCES).tolist()
    if "tagging" in case["objectives"]:
        labels = rng.integers(0, case["classes"], rows)
        labels[rng.random(rows) < 0.3] = -1
        batch["token_labels"] = labels.tolist()
    return batch


class Bert:
    """The model as formulas over a dictionary of parameters."""

    def __init__(self, case):
        self.case = case
        self.shapes = parameter_shapes(case)
        self.p = {name: initial_value(name, shape, n) for n, (name, shape) in enumerate(self.shapes)}

    def linear(self, x, name):
        return x @ self.p[f"{name}.weight"].T + self.p[f"{name}.bias"]

    def norm(self, x, name):
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = (centred * centred).mean(dim=-1, keepdim=True)
        return centred / torch.sqrt(variance + NORM_EPSILON) * self.p[f"{name}.gain"] + self.p[f"{name}.shift"]

    @staticmethod
    def gelu(x):
        return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))

    def attention(self, x, name):
        size = WIDTH // HEADS
        mixed = []
        q, k, v = (self.linear(x, f"{name}.{part}") for part in ("query", "key", "value"))
        for head in range(HEADS):
            columns = slice(head * size, (head + 1) * size)
            scores = q[:, columns] @ k[:, columns].T / math.sqrt(size)
            weights = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
            mixed.append(weights / weights.sum(dim=-1, keepdim=True) @ v[:, columns])
        return self.linear(torch.cat(mixed, dim=-1), f"{name}.output")

    def feed_forward(self, x, name):
        return self.linear(self.gelu(self.linear(x, f"{name}.in")), f"{name}.out")

    def hidden(self, tokens, positions, segments):
        """The final hidden states of one sequence, [T, C]."""
        x = (self.p["embedding.token.weight"][tokens] + self.p["embedding.position.weight"][positions]
             + self.p["embedding.segment.weight"][segments])
        pre = self.case["norm"] == "pre"
        if not pre:
            x = self.norm(x, "embedding.norm")
        for layer in range(LAYERS):
            for part, block in (("attention", self.attention), ("feed_forward", self.feed_forward)):
                name = f"layers.{layer}.{part}"
                if pre:
                    x = x + block(self.norm(x, f"{name}.norm"), name)
                else:
                    x = self.norm(x + block(x, name), f"{name}.norm")
        return self.norm(x, "final.norm") if pre else x

    def losses(self, batch):
        """The mean loss of each objective, by name."""
        tokens, positions, segments = (torch.tensor(batch[key]) for key in ("tokens", "positions", "segments"))
        spans = [slice(a, b) for a, b in zip(batch["starts"], batch["starts"][1:])]
        sequences = [self.hidden(tokens[s], positions[s], segments[s]) for s in spans]
        objectives, losses = self.case["objectives"], {}
        if "mlm" in objectives:
            x = torch.cat(sequences)[torch.tensor(batch["masked_rows"])]
            x = self.norm(self.gelu(self.linear(x, "head.mlm.transform")), "head.mlm.norm")
            logits = x @ self.p["embedding.token.weight"].T + self.p["head.mlm.bias"]
            losses["mlm"] = cross_entropy(logits, batch["masked_labels"])
        if "nsp" in objectives:
            first = torch.stack([x[0] for x in sequences])
            logits = self.linear(torch.tanh(self.linear(first, "head.nsp.pool")), "head.nsp.output")
            losses["nsp"] = cross_entropy(logits, batch["sequence_labels"])
        if "classification" in objectives:
            mean = torch.stack([x.mean(dim=0) for x in sequences])
            losses["classification"] = cross_entropy(self.linear(mean, "head.classification.output"),
                                                     batch["sequence_labels"])
        if "tagging" in objectives:
            labels = torch.tensor(batch["token_labels"])
            x = torch.cat(sequences)[labels >= 0]
            losses["tagging"] = cross_entropy(self.linear(x, "head.tagging.output"), labels[labels >= 0].tolist())
        return losses


def cross_entropy(logits, labels):
    log_sum = torch.logsumexp(logits, dim=-1)
    return (log_sum - logits[torch.arange(len(labels)), torch.tensor(labels)]).mean()


class AdamW:
    def __init__(self, parameters):
        self.parameters = parameters
        self.first = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.step_count = 0

    def step(self):
        """Clips by the global norm, updates every parameter, and returns the norm before clipping."""
        self.step_count += 1
        with torch.no_grad():
            gradients = {name: p.grad if p.grad is not None else torch.zeros_like(p)
                         for name, p in self.parameters.items()}
            norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
            scale = min(1.0, MAX_NORM / norm)
            for name, p in self.parameters.items():
                g = gradients[name] * scale
                self.first[name].mul_(BETA1).add_((1 - BETA1) * g)
                self.second[name].mul_(BETA2).add_((1 - BETA2) * g * g)
                first = self.first[name] / (1 - BETA1**self.step_count)
                second = self.second[name] / (1 - BETA2**self.step_count)
                decay = DECAY if p.dim() == 2 else 0.0
                p.sub_(LEARNING_RATE * (first / (torch.sqrt(second) + EPSILON) + decay * p))
                p.grad = None
        return norm


def train(case, seed):
    model = Bert(case)
    optimizer = AdamW(model.p)
    rng = np.random.default_rng(seed)
    batches = [make_batch(case, rng) for _ in range(STEPS)]
    record = {"loss": [], "losses": {name: [] for name in case["objectives"]}, "grad_norm": []}
    for batch in batches:
        parts = model.losses(batch)
        total = sum(case["objectives"][name] * part for name, part in parts.items())
        total.backward()
        record["loss"].append(float(total.detach()))
        for name, part in parts.items():
            record["losses"][name].append(float(part.detach()))
        record["grad_norm"].append(optimizer.step())
    return model, batches, record


def document(name, case, model, batches, record):
    return {
        "case": name,
        "config": {"norm": case["norm"], "objectives": case["objectives"], "classes": case.get("classes", 0),
                   "vocabulary": VOCABULARY, "width": WIDTH, "heads": HEADS, "layers": LAYERS,
                   "feed_forward": FEED_FORWARD, "positions": POSITIONS, "segments": SEGMENTS,
                   "norm_epsilon": NORM_EPSILON},
        "optimizer": {"learning_rate": LEARNING_RATE, "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON,
                      "weight_decay": DECAY, "max_grad_norm": MAX_NORM},
        "parameters": [{"name": n, "shape": s} for n, s in model.shapes],
        "batches": batches,
        **record,
    }


def write_json(value, indent=0):
    """JSON with 17 significant digits, one batch or parameter a line."""
    if isinstance(value, float):
        return f"{value:.17g}"
    flat = isinstance(value, list) and not any(isinstance(v, dict) for v in value)
    if flat:
        return "[" + ", ".join(write_json(v) for v in value) + "]"
    if isinstance(value, list):
        items = [" " * (indent + 1) + write_json(v, -1) for v in value]
        return "[\n" + ",\n".join(items) + "\n" + " " * indent + "]"
    if isinstance(value, dict) and indent < 0:
        return "{" + ", ".join(f"{json.dumps(k)}: {write_json(v, -1)}" for k, v in value.items()) + "}"
    if isinstance(value, dict):
        items = [" " * (indent + 1) + f"{json.dumps(k)}: {write_json(v, -1 if isinstance(v, dict) else indent + 1)}"
                 for k, v in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    return json.dumps(value)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_default_dtype(torch.float64)
    for seed, (name, case) in enumerate(CASES.items(), start=1):
        model, batches, record = train(case, seed)
        text = write_json(document(name, case, model, batches, record)) + "\n"
        json.loads(text)
        (folder / f"bert_{name}.json").write_text(text)
        print(f"{name}: loss {record['loss'][0]:.6f} -> {record['loss'][-1]:.6f}, "
              f"gradient norm {record['grad_norm'][0]:.4f} -> {record['grad_norm'][-1]:.4f}")


if __name__ == "__main__":
    main()
