# SPDX-License-Identifier: Apache-2.0
"""Writes optimizer_*.json: the losses of 20 steps of one tiny model under every kind of optimizer, in float64.

Model, batches and the form of the files are those of families.py; `optimizer` and `phase` hold the keys that differ.
SGD, Adam, AdamW and Adafactor are PyTorch's. LAMB and Lion are written down here from their papers. So is Muon, whose
PyTorch form rounds to bfloat16: this script checks that both agree to a few per cent.
Usage: python tests/model/reference/optimizers.py [FOLDER]
"""

import fnmatch
import json
import math
import pathlib
import sys

import numpy as np
import torch

from batches import VOCABULARY, make_batch
from bert import STEPS, write_json
from families import CASES as FAMILY_CASES
from families import Model, clip, decays, initialise, tensors
from transformer import DEFAULTS

FAMILY = "gpt2_clm"

CASES = {
    "sgd": ({"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.02}, {}),
    "sgd_plain": ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0}, {}),
    "sgd_nesterov": ({"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}, {}),
    "adam": ({"kind": "adam", "learning_rate": 1e-3, "weight_decay": 0.05}, {}),
    "lamb": ({"kind": "lamb", "learning_rate": 1e-2, "weight_decay": 0.1}, {}),
    "adafactor": ({"kind": "adafactor", "learning_rate": 1e-2, "weight_decay": 0.1}, {}),
    "lion": ({"kind": "lion", "learning_rate": 3e-4, "weight_decay": 0.1}, {}),
    "muon": ({"kind": "muon", "learning_rate": 1e-3, "weight_decay": 0.1}, {}),
    "groups": ({"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1, "layer_decay": 0.8, "max_grad_value": 0.01,
                "groups": {"norms": {"match": ["*.norm.*"], "learning_rate_scale": 0.5, "weight_decay": 0.2},
                           "other": {"match": ["*.attention.*"], "learning_rate_scale": 2.0}}},
               {"freeze": ["embedding.position.*", "layers.0.feed_forward.*"]}),
    "unfreeze": ({"kind": "adamw", "learning_rate": 2e-3}, {"unfreeze": {"from_top": 1, "every_steps": 5}}),
    "penalty": ({"kind": "adamw", "learning_rate": 1e-3, "max_grad_value": 0.05},
                {"l1": 2e-3, "l2": 5e-2, "freeze": ["embedding.position.*"]}),
    "average": ({"kind": "adamw", "learning_rate": 2e-3},
                {"average": {"decay": 0.6}, "unfreeze": {"from_top": 1, "every_steps": 5}}),
}
DEFAULT_KEYS = {"weight_decay": 0.01, "max_grad_norm": 1.0, "max_grad_value": 0.0, "layer_decay": 1.0, "groups": {}}
BETAS = {"lion": (0.9, 0.99)}
EPSILON = {"lamb": 1e-6}


class Lamb(torch.optim.Optimizer):
    """You et al. 2020 (arXiv:1904.00962), algorithm 2; without the trust ratio where nothing decays."""

    def __init__(self, groups, lr, betas, eps):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps})

    def step(self):
        for group in self.param_groups:
            (beta1, beta2), eps = group["betas"], group["eps"]
            for p in group["params"]:
                s = self.state[p]
                s["t"] = s.get("t", 0) + 1
                s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * p.grad
                s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * p.grad ** 2
                r = (s["m"] / (1 - beta1 ** s["t"])) / ((s["v"] / (1 - beta2 ** s["t"])).sqrt() + eps)
                update = r + group["weight_decay"] * p.data
                trust = float(p.data.norm() / update.norm()) if group["adapted"] else 1.0
                p.data -= group["lr"] * trust * update


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023 (arXiv:2302.06675), algorithm 2."""

    def __init__(self, groups, lr, betas):
        super().__init__(groups, {"lr": lr, "betas": betas})

    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].get("m", torch.zeros_like(p))
                c = beta1 * m + (1 - beta1) * p.grad
                p.data -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p.data)
                self.state[p]["m"] = beta2 * m + (1 - beta2) * p.grad


def newton_schulz(g):
    """Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", without rounding to bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / max(float(g.norm()), 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """With the scale 0.2 · √(longer side) of Liu et al. 2025 (arXiv:2502.16982), section 2.2."""

    def __init__(self, groups, lr, momentum):
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    def step(self):
        for group in self.param_groups:
            mu = group["momentum"]
            for p in group["params"]:
                m = mu * self.state[p].get("m", torch.zeros_like(p)) + (1 - mu) * p.grad
                self.state[p]["m"] = m
                direction = newton_schulz((1 - mu) * p.grad + mu * m)
                p.data *= 1 - group["lr"] * group["weight_decay"]
                p.data -= group["lr"] * 0.2 * math.sqrt(max(p.shape)) * direction


def check_muon():
    """PyTorch's own Muon from the same start: its bfloat16 products are right to a few per cent."""
    start, gradient = torch.randn(24, 40), torch.randn(24, 40)
    moved = []
    for make in (lambda p: Muon([{"params": [p], "weight_decay": 0.1}], lr=0.1, momentum=0.95),
                 lambda p: torch.optim.Muon([p], lr=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")):
        p = torch.nn.Parameter(start.clone())
        optimizer = make(p)
        for _ in range(3):
            p.grad = gradient.clone()
            optimizer.step()
        moved.append(p.detach() - start)
    difference = float((moved[0] - moved[1]).norm() / moved[1].norm())
    assert difference < 0.05, difference
    print(f"Muon: {100 * difference:.2f} % from torch.optim.Muon")


def depth_of(name, num_layers):
    if name.startswith("embedding."):
        return num_layers + 1
    return num_layers - int(name.split("layers.")[1].split(".")[0]) if "layers." in name else 0


def group_of(name, p, keys, num_layers):
    """Learning rate and weight decay of a parameter."""
    rate = keys["learning_rate"] * keys["layer_decay"] ** depth_of(name, num_layers)
    decay = keys["weight_decay"] if decays(name, p) else 0.0
    for group in keys["groups"].values():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in group["match"]):
            return rate * group.get("learning_rate_scale", 1.0), group.get("weight_decay", decay)
    return rate, decay


def make_optimizers(parameters, keys, num_layers):
    kind, lr = keys["kind"], keys["learning_rate"]
    groups = []
    for name, p in parameters.items():
        rate, decay = group_of(name, p, keys, num_layers)
        groups.append({"params": [p], "lr": rate, "weight_decay": decay, "adapted": decays(name, p),
                       "matrix": "layers." in name and p.dim() == 2})
    betas, eps = BETAS.get(kind, (0.9, 0.999)), EPSILON.get(kind, 1e-8)
    if kind == "sgd":
        return [torch.optim.SGD(groups, lr=lr, momentum=keys["momentum"], nesterov=keys.get("nesterov", False))]
    if kind == "adam":
        return [torch.optim.Adam(groups, lr=lr, betas=betas, eps=eps)]
    if kind == "lamb":
        return [Lamb(groups, lr, betas, eps)]
    if kind == "adafactor":
        return [torch.optim.Adafactor(groups, lr=lr, beta2_decay=-0.8, eps=(1e-30, 1e-3), d=1.0)]
    if kind == "lion":
        return [Lion(groups, lr, betas)]
    if kind == "muon":
        return [Muon([g for g in groups if g["matrix"]], lr, 0.95),
                torch.optim.AdamW([g for g in groups if not g["matrix"]], lr=lr, betas=betas, eps=eps)]
    return [torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps)]


def trained_at(step, name, phase, num_layers):
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in phase.get("freeze", [])):
        return False
    if "unfreeze" not in phase:
        return True
    return depth_of(name, num_layers) <= phase["unfreeze"]["from_top"] * (step // phase["unfreeze"]["every_steps"])


def penalty_of(parameters, phase):
    """What l1 and l2 add to the loss: of the parameters that weight decay applies to."""
    chosen = [p for name, p in parameters.items() if decays(name, p) and trained_at(math.inf, name, phase, 0)]
    return sum(phase.get("l1", 0.0) * p.abs().sum() + phase.get("l2", 0.0) / 2 * (p ** 2).sum() for p in chosen)


def averaged_loss(model, batch, average):
    """The step's loss with every parameter's average in its place."""
    parameters = model.parameters_by_name()
    kept = {name: p.data for name, p in parameters.items()}
    with torch.no_grad():
        for name, p in parameters.items():
            p.data = average[name]
        loss = sum(float(model.weights.get(goal, 1.0) * part) for goal, part in model.losses(tensors(batch)).items())
        for name, p in parameters.items():
            p.data = kept[name]
    return loss


def train(model, batches, keys, phase, num_layers):
    parameters = model.parameters_by_name()
    optimizers = make_optimizers(parameters, keys, num_layers)
    record = {"loss": [], "losses": {goal: [] for goal in model.by_goal}, "grad_norm": []}
    penalised, averaged = "l1" in phase, "average" in phase
    record |= {"penalty": []} if penalised else {}
    record |= {"average_loss": []} if averaged else {}
    average = {name: p.data.clone() for name, p in parameters.items()}
    for step, batch in enumerate(batches):
        for p in parameters.values():
            p.grad = torch.zeros_like(p)
        parts = model.losses(tensors(batch))
        total = sum(model.weights.get(goal, 1.0) * part for goal, part in parts.items())
        if penalised:
            penalty = penalty_of(parameters, phase)
            record["penalty"].append(float(penalty.detach()))
            (total + penalty).backward()
        else:
            total.backward()
        record["loss"].append(float(total.detach()))
        for goal, part in parts.items():
            record["losses"][goal].append(float(part.detach()))
        for name, p in parameters.items():
            if not trained_at(step, name, phase, num_layers):
                p.grad = None  # PyTorch's optimizers pass over it: neither decay nor age
        norm = math.sqrt(sum(float((p.grad ** 2).sum()) for p in parameters.values() if p.grad is not None))
        if keys["max_grad_value"] > 0:
            for p in parameters.values():
                if p.grad is not None:
                    p.grad.clamp_(-keys["max_grad_value"], keys["max_grad_value"])
        clip(parameters)
        record["grad_norm"].append(norm)
        for optimizer in optimizers:
            optimizer.step()
        if averaged:
            d = min(phase["average"]["decay"], (2 + step) / (11 + step))  # (1 + t) / (10 + t), t from 1
            average = {name: d * average[name] + (1 - d) * p.data for name, p in parameters.items()}
            record["average_loss"].append(averaged_loss(model, batch, average))
    return record


def document(name, seed):
    changes, family_phase, labels = FAMILY_CASES[FAMILY]
    optimizer, phase_keys = CASES[name]
    settings, phase = DEFAULTS | changes, family_phase | phase_keys
    model = Model(settings, phase, labels, VOCABULARY)
    parameters = model.parameters_by_name()
    initialise(parameters)
    rng = np.random.default_rng(seed)
    batches = [make_batch(settings, phase, labels, rng) for _ in range(STEPS)]
    listed = [{"name": n, "shape": list(p.shape), "decays": decays(n, p)} for n, p in parameters.items()]
    return {
        "case": name, "model": settings, "phase": phase, "vocabulary": VOCABULARY, "token_ids": VOCABULARY,
        "labels": labels, "optimizer": optimizer, "parameters": listed, "batches": batches,
        **train(model, batches, DEFAULT_KEYS | optimizer, phase, settings["num_layers"]),
    }


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    check_muon()
    for seed, name in enumerate(CASES, start=301):
        case = document(name, seed)
        text = write_json(case) + "\n"
        json.loads(text)
        (folder / f"optimizer_{name}.json").write_text(text)
        print(f"{name}: {len(text)} bytes, loss {case['loss'][0]:.6f} -> {case['loss'][-1]:.6f}, "
              f"gradient norm {case['grad_norm'][0]:.4f} -> {case['grad_norm'][-1]:.4f}")


if __name__ == "__main__":
    main()
