# SPDX-License-Identifier: Apache-2.0
"""Times greedy generation with a key/value cache in PyTorch, as the peer that scripts/bench --generate compares with: a plain GPT-2, and
transformers' own where it is installed, both with random weights that are float32 or bfloat16 throughout. Prints a line of JSON each.

Usage: VENV/bin/python scripts/bench_peer_generate.py [--precision f32] [--prompt-tokens 16] [--new-tokens 128] [--rounds 3] [--threads 2]
"""
import argparse
import json
import time

import torch
import torch.nn.functional as functional
from torch import nn

LAYERS, WIDTH, HEADS, VOCABULARY, POSITIONS = 12, 768, 12, 50257, 1024


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.feed_in, self.feed_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, cache, begin):
        """cache: keys and values of all positions, of which those from `begin` on are written."""
        batch, tokens, _ = x.shape
        end = begin + tokens
        qkv = self.query_key_value(self.attention_norm(x)).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        cache[0][:, :, begin:end], cache[1][:, :, begin:end] = key, value
        mixed = functional.scaled_dot_product_attention(query, cache[0][:, :, :end], cache[1][:, :, :end], is_causal=begin == 0)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))
        return x + self.feed_out(functional.gelu(self.feed_in(self.feed_norm(x)), approximate="tanh"))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def next_token(self, tokens, caches, begin):
        x = self.token(tokens) + self.position(torch.arange(begin, begin + tokens.shape[1]))
        for block, cache in zip(self.blocks, caches):
            x = block(x, cache, begin)
        return functional.linear(self.norm(x[:, -1:]), self.token.weight).argmax(-1)

    def generate(self, prompt, num_new):
        size = (1, HEADS, prompt.shape[1] + num_new, WIDTH // HEADS)
        caches = [tuple(torch.empty(size, dtype=self.token.weight.dtype) for _ in range(2)) for _ in self.blocks]
        tokens, begin, count = prompt, 0, 0
        while count < num_new:
            new = self.next_token(tokens, caches, begin)
            begin, tokens, count = begin + tokens.shape[1], new, count + 1
        return count


def make_plain():
    return Decoder(), lambda model, prompt, count: model.generate(prompt, count)


def make_transformers():
    from transformers import GPT2Config, GPT2LMHeadModel

    def generate(model, prompt, count):
        written = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, min_new_tokens=count,
                                 do_sample=False, pad_token_id=0)
        return written.shape[1] - prompt.shape[1]

    return GPT2LMHeadModel(GPT2Config()), generate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    prompt = torch.randint(5, VOCABULARY, (1, options.prompt_tokens))
    for name, make in (("PyTorch", make_plain), ("transformers", make_transformers)):
        try:
            model, generate = make()
        except ImportError:
            continue
        model = model.eval().to(torch.bfloat16 if options.precision == "bf16" else torch.float32)
        best = 0.0
        with torch.inference_mode():
            generate(model, prompt, 8)
            for _ in range(options.rounds):
                started = time.perf_counter()
                count = generate(model, prompt, options.new_tokens)
                best = max(best, count / (time.perf_counter() - started))
        print(json.dumps({"mode": name, "precision": options.precision, "new_tokens": count, "tokens_per_second": round(best, 2)}), flush=True)


if __name__ == "__main__":
    main()
