# SPDX-License-Identifier: Apache-2.0
"""Times fine-tuning on short texts in PyTorch, as the peer that scripts/bench --fine-tune compares with: batches padded to their longest text,
a mask of what is padding, scaled_dot_product_attention, fused AdamW, dropout 0. Lengths come from a file, one a line; a batch is as many rows
as lie together there. Prints a line of JSON.

Usage: VENV/bin/python scripts/bench_peer_fine_tune.py --lengths FILE [--precision f32] [--mode eager] [--rows 32] [--warmup 3] [--threads 2]
"""
import argparse
import json
import time

import torch
import torch.nn.functional as functional
from torch import nn

LAYERS, WIDTH, HEADS, VOCABULARY, TOKENS = 4, 256, 4, 8192, 128


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_key_value, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.feed_in, self.feed_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.attention_norm, self.feed_norm = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x, mask):
        batch, tokens, _ = x.shape
        qkv = self.query_key_value(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.attention_norm(x + self.output(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH)))
        return self.feed_norm(x + self.feed_out(functional.gelu(self.feed_in(x))))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position, self.segment = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH), nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, 2)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, real, labels):
        x = self.norm(self.token(tokens) + self.position(torch.arange(tokens.shape[1])) + self.segment(torch.zeros_like(tokens)))
        for block in self.blocks:
            x = block(x, real[:, None, None, :])
        weight = real.to(x.dtype)[:, :, None]
        return functional.cross_entropy(self.head((x * weight).sum(1) / weight.sum(1)).float(), labels)


def make_batches(lengths, rows):
    generator = torch.Generator().manual_seed(7)
    batches = []
    for first in range(0, len(lengths), rows):
        own = torch.tensor(lengths[first:first + rows])
        real = torch.arange(int(own.max()))[None, :] < own[:, None]
        tokens = torch.randint(5, VOCABULARY, real.shape, generator=generator) * real
        batches.append((tokens, real, own % 2))
    return batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", required=True)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--mode", choices=("eager", "compiled"), default="eager")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    with open(options.lengths, encoding="utf-8") as stream:
        batches = make_batches([int(line) for line in stream], options.rows)
    model = Classifier()
    step_model = torch.compile(model, dynamic=True) if options.mode == "compiled" else model
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=1e-4, fused=True)
    for step, batch in enumerate(batches):
        if step == options.warmup:
            started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = step_model(*batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - started
    timed = batches[options.warmup:]
    print(json.dumps({"mode": options.mode, "precision": options.precision, "loss": loss.item(),
                      "rows_per_second": round(sum(len(batch[2]) for batch in timed) / seconds, 1),
                      "padding": round(1 - sum(batch[1].sum().item() for batch in timed) / sum(batch[1].numel() for batch in timed), 3)}), flush=True)


if __name__ == "__main__":
    main()
