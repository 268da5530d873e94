# SPDX-License-Identifier: Apache-2.0
"""The three families of models as PyTorch modules, for one sequence at a time; gradients by automatic differentiation.

It shares nothing with the C++ code but the names of parameters: a module's path is the parameter's name. A model is
described by the keys of a recipe's section `model`. Sources: Vaswani et al. 2017 (arXiv:1706.03762); GPT-2: Radford et
al. 2019; LLaMA: Touvron et al. 2023 (arXiv:2302.13971); rotary positions: Su et al. 2021 (arXiv:2104.09864), in the
rotate-half layout; RMSNorm: Zhang and Sennrich 2019 (arXiv:1910.07467); gated feed-forward: Shazeer 2020
(arXiv:2002.05202); grouped heads: Ainslie et al. 2023 (arXiv:2305.13245); T5: Raffel et al. 2020 (arXiv:1910.10683).
"""

import math

import torch
from torch import nn

DEFAULTS = {
    "family": "bert", "num_layers": 2, "num_decoder_layers": 0, "width": 16, "num_heads": 4, "num_key_heads": 0,
    "head_width": 0, "feed_forward": 32, "max_tokens": 16, "positions": "learned", "rotary_theta": 10000.0,
    "relative_buckets": 8, "relative_max_distance": 10, "segments": False, "norm": "pre", "norm_kind": "layer",
    "norm_epsilon": 1e-5, "activation": "gelu", "biases": True, "tied_output": True, "scaled_scores": True,
}


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + torch.exp(-x))


PLAIN = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": lambda x: x * (x > 0), "silu": silu}
GATED = {"swiglu": silu, "geglu": gelu_tanh}


class Linear(nn.Module):
    def __init__(self, inputs, outputs, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x):
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


class Table(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))

    def forward(self, ids):
        return self.weight[ids]


class Norm(nn.Module):
    """LayerNorm, or RMSNorm, which has no shift and does not centre."""

    def __init__(self, m):
        super().__init__()
        self.centres, self.epsilon = m["norm_kind"] == "layer", m["norm_epsilon"]
        self.gain = nn.Parameter(torch.zeros(m["width"]))
        self.shift = nn.Parameter(torch.zeros(m["width"])) if self.centres else None

    def forward(self, x):
        if not self.centres:
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.epsilon) * self.gain
        x = x - x.mean(-1, keepdim=True)
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.epsilon) * self.gain + self.shift


def rotate(x_TD, theta):
    """Turns column i and column i + D/2 of row t by the angle t · theta^(-2i/D)."""
    half = x_TD.shape[1] // 2
    frequency = theta ** (-torch.arange(half) * 2.0 / x_TD.shape[1])
    angle = torch.arange(x_TD.shape[0], dtype=frequency.dtype)[:, None] * frequency
    a, b = x_TD[:, :half], x_TD[:, half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=1)


def relative_bucket(offset, buckets, max_distance, bidirectional):
    """T5's bucket of key position - query position: small distances have their own, larger ones share by logarithm."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if offset > 0 else 0
        distance = abs(offset)
    else:
        distance = max(-offset, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    growth = math.log(distance / exact) / math.log(max_distance / exact)
    return first + min(exact + int(growth * (buckets - exact)), buckets - 1)


class Attention(nn.Module):
    def __init__(self, m, causal, crosses=False):
        super().__init__()
        self.m, self.causal, self.crosses = m, causal, crosses
        self.heads, self.key_heads = m["num_heads"], m["num_key_heads"] or m["num_heads"]
        self.size = m["head_width"] or m["width"] // m["num_heads"]
        c, bias = m["width"], m["biases"]
        self.query = Linear(c, self.heads * self.size, bias)
        self.key = Linear(c, self.key_heads * self.size, bias)
        self.value = Linear(c, self.key_heads * self.size, bias)
        self.output = Linear(self.heads * self.size, c, bias)
        self.norm = Norm(m)
        self.heard = None  # a list that gets the probabilities of each sequence and head

    def visible(self, queries, keys, prefix):
        if not self.causal:
            return torch.ones(queries, keys, dtype=torch.bool)
        row, column = torch.arange(queries)[:, None], torch.arange(keys)[None]
        return (column <= row) | (column < prefix)

    def forward(self, x, memory, relative, prefix):
        memory = memory if self.crosses else x
        q, k, v = self.query(x), self.key(memory), self.value(memory)
        mixed = []
        for head in range(self.heads):
            part, shared = head * self.size, head * self.key_heads // self.heads * self.size
            q_TD, k_SD, v_SD = (y[:, a:a + self.size] for y, a in ((q, part), (k, shared), (v, shared)))
            if self.m["positions"] == "rotary":
                q_TD, k_SD = rotate(q_TD, self.m["rotary_theta"]), rotate(k_SD, self.m["rotary_theta"])
            scores = q_TD @ k_SD.T / (math.sqrt(self.size) if self.m["scaled_scores"] else 1.0)
            if relative is not None and not self.crosses:
                scores = scores + relative[:, :, head]
            scores = scores.masked_fill(~self.visible(len(x), len(memory), prefix), -math.inf)
            probabilities = torch.softmax(scores, dim=-1)
            if self.heard is not None:
                self.heard.append(probabilities)
            mixed.append(probabilities @ v_SD)
        return self.output(torch.cat(mixed, dim=-1))


class FeedForward(nn.Module):
    def __init__(self, m):
        super().__init__()
        c, f, bias = m["width"], m["feed_forward"], m["biases"]
        self.gated = m["activation"] in GATED
        self.active = (GATED if self.gated else PLAIN)[m["activation"]]
        self.add_module("in", Linear(c, f, bias))
        if self.gated:
            self.gate = Linear(c, f, bias)
        self.out = Linear(f, c, bias)
        self.norm = Norm(m)

    def forward(self, x, memory, relative, prefix):
        linear = self.get_submodule("in")(x)
        return self.out(self.active(self.gate(x)) * linear if self.gated else self.active(linear))


class Layer(nn.Module):
    def __init__(self, m, causal, crosses):
        super().__init__()
        self.pre = m["norm"] == "pre"
        self.attention = Attention(m, causal)
        if crosses:
            self.cross_attention = Attention(m, False, True)
        self.feed_forward = FeedForward(m)

    def forward(self, x, *around):
        for block in self.children():
            if self.pre:
                x = x + block(block.norm(x), *around)
            else:
                x = block.norm(x + block(x, *around))
        return x


class Named(nn.Module):
    """Holds modules under the names given."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Stack(nn.Module):
    """Layers, their norms at the ends, and one table of relative positions for all of them."""

    def __init__(self, m, num_layers, causal, crosses=False):
        super().__init__()
        self.m, self.causal = m, causal
        if m["positions"] == "relative":
            self.relative_positions = Table(m["relative_buckets"], m["num_heads"])
        self.layers = nn.ModuleList(Layer(m, causal, crosses) for _ in range(num_layers))
        if m["norm"] == "pre":
            self.final = Named(norm=Norm(m))

    def relative(self, length):
        if self.m["positions"] != "relative":
            return None
        buckets = [[relative_bucket(key - query, self.m["relative_buckets"], self.m["relative_max_distance"],
                                    not self.causal) for key in range(length)] for query in range(length)]
        return self.relative_positions(torch.tensor(buckets))

    def run(self, x, memory=None, prefix=0):
        relative = self.relative(len(x))
        for layer in self.layers:
            x = layer(x, memory, relative, prefix)
        return self.final.norm(x) if self.m["norm"] == "pre" else x


def sinusoids(length, width):
    """Sines in the even columns, cosines in the odd ones (Vaswani et al. 2017, section 3.5)."""
    angle = torch.arange(length)[:, None] / 10000.0 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, width)


class Body(Stack):
    """A model without heads. Its own layers are the encoder's, or the only ones."""

    def __init__(self, m, num_token_ids, with_decoder):
        tables = {"token": Table(num_token_ids, m["width"])}
        if m["positions"] == "learned":
            tables["position"] = Table(m["max_tokens"], m["width"])
        if m["segments"]:
            tables["segment"] = Table(2, m["width"])
        if m["norm"] == "post":
            tables["norm"] = Norm(m)
        super().__init__(m, m["num_layers"], m["family"] == "gpt")
        self.embedding = Named(**tables)
        self.with_decoder = with_decoder
        if with_decoder:
            self.decoder = Stack(m, m["num_decoder_layers"] or m["num_layers"], True, True)

    def embed(self, rows):
        x = self.embedding.token(rows["tokens"])
        if self.m["positions"] == "learned":
            x = x + self.embedding.position(rows["positions"])
        if self.m["positions"] == "sinusoidal":
            x = x + sinusoids(self.m["max_tokens"], self.m["width"])[rows["positions"]]
        if self.m["segments"]:
            x = x + self.embedding.segment(rows["segments"])
        return self.embedding.norm(x) if self.m["norm"] == "post" else x

    def hidden(self, rows, source=None, prefix=0):
        """Final hidden states of one sequence, [T, C]; of an encoder-decoder the decoder's."""
        if not self.with_decoder:
            return self.run(self.embed(rows), prefix=prefix)
        return self.decoder.run(self.embed(rows), memory=self.run(self.embed(source)))
