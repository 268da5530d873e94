# SPDX-License-Identifier: Apache-2.0
"""Times whole training steps of a PyTorch encoder, decoder or both, as the peer that scripts/bench compares with.

A step is forward, backward, clipping at norm 1.0 and fused AdamW, on random tokens, with dropout 0 and a masked-LM head
(transform, norm, tied decoder) on 15 % of the positions, or of GPT-2's or T5's kind with every next token to predict. Every combination runs in a process of its own and prints one
line of JSON: shape, precision, mode, tokens/s (median over the steps after the warm-up), the milliseconds of a step, and
the peak memory of one process in MiB.

Usage: VENV/bin/python scripts/bench_peer.py [--shape …] [--precision …] [--mode …] [--steps N] [--warmup N] [--threads N]
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

SHAPES = {
    "encoder-4-256": {"layers": 4, "width": 256, "heads": 4, "vocabulary": 8192, "sequences": 32, "tokens": 128},
    "bert-base": {"layers": 12, "width": 768, "heads": 12, "vocabulary": 30522, "sequences": 8, "tokens": 128},
    "small-gpt": {"layers": 6, "width": 384, "heads": 6, "vocabulary": 65, "sequences": 12, "tokens": 256, "causal": True},
    "gpt-2": {"layers": 12, "width": 768, "heads": 12, "vocabulary": 50257, "sequences": 4, "tokens": 256, "causal": True},
    "t5-small": {"layers": 6, "width": 512, "heads": 8, "vocabulary": 32128, "sequences": 8, "tokens": 64, "causal": True, "source_tokens": 128},
}
RELATIVE_BUCKETS, RELATIVE_DISTANCE = 32, 128
PRECISIONS = ("f32", "bf16")
MODES = ("eager", "compiled", "ddp")
MASKED_FRACTION = 0.15
DDP_PROCESSES = 2


def make_model(shape):
    import torch
    import torch.nn.functional as functional
    from torch import nn

    width, heads, causal = shape["width"], shape["heads"], shape.get("causal", False)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.query_key_value = nn.Linear(width, 3 * width)
            self.output = nn.Linear(width, width)
            self.attention_norm = nn.LayerNorm(width, eps=1e-12)
            self.feed_in = nn.Linear(width, 4 * width)
            self.feed_out = nn.Linear(4 * width, width)
            self.feed_norm = nn.LayerNorm(width, eps=1e-12)

        def attention(self, x):
            batch, tokens, _ = x.shape
            qkv = self.query_key_value(x).view(batch, tokens, 3, heads, width // heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
            return self.output(mixed.transpose(1, 2).reshape(batch, tokens, width))

        def forward(self, x):
            if causal:  # GPT-2: norms in front
                x = x + self.attention(self.attention_norm(x))
                return x + self.feed_out(functional.gelu(self.feed_in(self.feed_norm(x)), approximate="tanh"))
            x = self.attention_norm(x + self.attention(x))
            return self.feed_norm(x + self.feed_out(functional.gelu(self.feed_in(x))))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(shape["vocabulary"], width)
            self.position = nn.Embedding(shape["tokens"], width)
            self.segment = nn.Embedding(2, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
            self.blocks = nn.ModuleList(Block() for _ in range(shape["layers"]))
            self.transform = nn.Linear(width, width)
            self.transform_norm = nn.LayerNorm(width, eps=1e-12)
            self.decoder_bias = nn.Parameter(torch.zeros(shape["vocabulary"]))
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, segments, masked_rows, labels):
            positions = torch.arange(tokens.shape[1])
            x = self.norm(self.token(tokens) + self.position(positions) + self.segment(segments))
            for block in self.blocks:
                x = block(x)
            x = x.reshape(-1, width)[masked_rows]
            x = self.transform_norm(functional.gelu(self.transform(x)))
            logits = functional.linear(x, self.token.weight, self.decoder_bias)
            return functional.cross_entropy(logits.float(), labels)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(shape["vocabulary"], width)
            self.position = nn.Embedding(shape["tokens"], width)
            self.blocks = nn.ModuleList(Block() for _ in range(shape["layers"]))
            self.norm = nn.LayerNorm(width, eps=1e-5)
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, segments, rows, labels):
            x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.norm(x).reshape(-1, width), self.token.weight)
            return functional.cross_entropy(logits.float(), labels)

    return Decoder() if causal else Encoder()


def make_encoder_decoder(shape):
    """T5 1.0 (Raffel et al., 2019): root-mean-square norms in front, relative positions shared by the layers of a stack, ReLU, no biases."""
    import math

    import torch
    import torch.nn.functional as functional
    from torch import nn

    width, heads = shape["width"], shape["heads"]

    def bucket(distance, both_ways):
        """Of key − query: exact near by, logarithmic up to RELATIVE_DISTANCE."""
        buckets, offset = RELATIVE_BUCKETS, 0
        if both_ways:
            buckets //= 2
            offset = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        far = exact + (torch.log(distance.clamp(min=1) / exact) / math.log(RELATIVE_DISTANCE / exact) * (buckets - exact)).long()
        return offset + torch.where(distance < exact, distance, far.clamp(max=buckets - 1))

    class Attention(nn.Module):
        def __init__(self, crossing=False):
            super().__init__()
            self.crossing = crossing
            if crossing:
                self.query = nn.Linear(width, width, bias=False)
                self.key_value = nn.Linear(width, 2 * width, bias=False)
            else:
                self.query_key_value = nn.Linear(width, 3 * width, bias=False)
            self.output = nn.Linear(width, width, bias=False)

        def forward(self, x, bias, source=None):
            batch = x.shape[0]
            if self.crossing:
                parts = [self.query(x), *self.key_value(source).chunk(2, dim=-1)]
            else:
                parts = self.query_key_value(x).chunk(3, dim=-1)
            query, key, value = (part.view(batch, -1, heads, width // heads).transpose(1, 2) for part in parts)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
            return self.output(mixed.transpose(1, 2).reshape(batch, -1, width))

    class Block(nn.Module):
        def __init__(self, decoder):
            super().__init__()
            self.attention, self.attention_norm = Attention(), nn.RMSNorm(width, eps=1e-6)
            if decoder:
                self.cross_attention, self.cross_norm = Attention(crossing=True), nn.RMSNorm(width, eps=1e-6)
            self.feed_in, self.feed_out = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
            self.feed_norm = nn.RMSNorm(width, eps=1e-6)

        def forward(self, x, bias, source=None):
            x = x + self.attention(self.attention_norm(x), bias)
            if source is not None:
                x = x + self.cross_attention(self.cross_norm(x), None, source)
            return x + self.feed_out(functional.relu(self.feed_in(self.feed_norm(x))))

    class Stack(nn.Module):
        def __init__(self, decoder, tokens):
            super().__init__()
            distance = torch.arange(tokens)[None, :] - torch.arange(tokens)[:, None]
            self.register_buffer("buckets", bucket(distance, both_ways=not decoder))
            self.register_buffer("hidden", (distance > 0) if decoder else torch.zeros(tokens, tokens, dtype=torch.bool))
            self.relative = nn.Embedding(RELATIVE_BUCKETS, heads)
            self.blocks = nn.ModuleList(Block(decoder) for _ in range(shape["layers"]))
            self.norm = nn.RMSNorm(width, eps=1e-6)

        def forward(self, x, source=None):
            bias = self.relative(self.buckets).permute(2, 0, 1).masked_fill(self.hidden, -1e9)[None]
            if torch.is_autocast_enabled("cpu"):
                bias = bias.to(torch.bfloat16)
            for block in self.blocks:
                x = block(x, bias, source)
            return self.norm(x)

    class EncoderDecoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(shape["vocabulary"], width)
            self.encoder = Stack(False, shape["source_tokens"])
            self.decoder = Stack(True, shape["tokens"])
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, sources, rows, labels):
            x = self.decoder(self.token(tokens), self.encoder(self.token(sources)))
            logits = functional.linear(x.reshape(-1, width) * width**-0.5, self.token.weight)
            return functional.cross_entropy(logits.float(), labels)

    return EncoderDecoder()


def make_batches(shape, sequences, count, rank):
    import torch

    generator = torch.Generator().manual_seed(100 + rank)
    rows = sequences * shape["tokens"]
    masked = rows if shape.get("causal") else int(MASKED_FRACTION * rows)
    batches = []
    for _ in range(count):
        size = (sequences, shape["tokens"])
        if "source_tokens" in shape:  # what an encoder reads, else the segments
            second = torch.randint(shape["vocabulary"], (sequences, shape["source_tokens"]), generator=generator)
        else:
            second = (torch.arange(shape["tokens"]) >= shape["tokens"] // 2).long().expand(size).contiguous()
        batches.append((torch.randint(shape["vocabulary"], size, generator=generator), second,
                        torch.randperm(rows, generator=generator)[:masked].sort().values,
                        torch.randint(shape["vocabulary"], (masked,), generator=generator)))
    return batches


def time_steps(arguments, rank, processes):
    """Median seconds of a step on this process."""
    import torch

    torch.set_num_threads(1 if processes > 1 else arguments.threads)
    torch.manual_seed(1)
    shape = SHAPES[arguments.shape[0]]
    model = make_encoder_decoder(shape) if "source_tokens" in shape else make_model(shape)
    step_model = model
    if processes > 1:
        step_model = torch.nn.parallel.DistributedDataParallel(model)
    if arguments.mode[0] == "compiled":
        step_model = torch.compile(model)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=1e-4, fused=True)
    batches = make_batches(shape, shape["sequences"] // processes, 4, rank)
    bf16 = arguments.precision[0] == "bf16"
    seconds = []
    for step in range(arguments.warmup + arguments.steps):
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = step_model(*batches[step % len(batches)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= arguments.warmup:
            seconds.append(time.perf_counter() - started)
    if not torch.isfinite(loss):
        sys.exit("the peer's loss is not a finite number; its timings mean nothing")
    return statistics.median(seconds)


def run_worker(arguments):
    """One process of one combination; rank 0 prints the result."""
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        import torch.distributed

        torch.distributed.init_process_group("gloo")
    seconds = time_steps(arguments, rank, processes)
    if processes > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if rank == 0:
        shape = SHAPES[arguments.shape[0]]
        tokens = shape["sequences"] * (shape["tokens"] + shape.get("source_tokens", 0))
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"shape": arguments.shape[0], "precision": arguments.precision[0], "mode": arguments.mode[0],
                          "tokens_per_second": round(tokens / seconds, 1), "step_milliseconds": round(1000 * seconds, 2),
                          "peak_memory_mib": round(peak_kib / 1024)}), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_combination(arguments, shape, precision, mode):
    """Starts the processes of a combination and waits for them; true when all went well."""
    command = [sys.executable, os.path.abspath(__file__), "--worker", "--shape", shape, "--precision", precision,
               "--mode", mode, "--steps", str(arguments.steps), "--warmup", str(arguments.warmup),
               "--threads", str(arguments.threads)]
    processes = DDP_PROCESSES if mode == "ddp" else 1
    threads = 1 if mode == "ddp" else arguments.threads
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()),
                       WORLD_SIZE=str(processes))
    started = [subprocess.Popen(command, env=dict(environment, RANK=str(rank), LOCAL_RANK=str(rank)))
               for rank in range(processes)]
    ok = True
    for process in started:
        if process.wait() != 0:
            ok = False
            for other in started:  # a lone survivor would wait for its partner for half an hour
                other.terminate()
    return ok


def parse_arguments():
    parser = argparse.ArgumentParser(description="Times training steps of PyTorch models.")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--steps", type=int, default=7, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--threads", type=int, default=2, help="threads of one process (ddp: two processes of one)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.worker:
        run_worker(arguments)
        return
    failed = [f"{shape} {precision} {mode}" for shape in arguments.shape for precision in arguments.precision
              for mode in arguments.mode if not run_combination(arguments, shape, precision, mode)]
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
