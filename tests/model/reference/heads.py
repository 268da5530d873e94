# SPDX-License-Identifier: Apache-2.0
"""Heads and losses on the hidden states of transformer.py, one class a goal; a head's loss is a mean over its terms.

What the terms are: predicted tokens (language models), sequences (pairs, classes, regression, questions), sequences ×
labels (multi_label), labelled tokens (tagging, with the CRF too).
"""

import torch
from torch import nn

from transformer import Linear, Named, Norm, gelu


def cross_entropy(logits_MK, labels_M, smoothing=0.0):
    """Of each row, with the distribution that gives the share `smoothing` to all classes alike (Szegedy et al. 2016)."""
    log_p = logits_MK - torch.logsumexp(logits_MK, dim=-1, keepdim=True)
    at_label = log_p[torch.arange(len(labels_M)), labels_M]
    return -(1 - smoothing) * at_label - smoothing * log_p.mean(dim=-1)


def squared_error(predicted, values):
    return (predicted - values) ** 2


def sigmoid_cross_entropy(logits, truth):
    return torch.log1p(torch.exp(logits)) - truth * logits


def spans(starts):
    return list(zip(starts, starts[1:]))


class LanguageModel(nn.Module):
    """The output of causal, prefix, span and text-to-text models: the token table, or a table of its own."""

    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__()
        # T5 with a tied output divides hidden states by the root of the width (Raffel et al. 2020, released code).
        self.scale = m["width"] ** -0.5 if m["family"] == "t5" and m["tied_output"] else 1.0
        self.smoothing = phase.get("label_smoothing", 0.0)
        if not m["tied_output"]:
            self.weight = Linear(m["width"], num_token_ids, bias=False).weight

    def loss(self, hidden_NC, batch, token_table):
        x_MC = hidden_NC[batch["target_rows"]] * self.scale
        logits_MV = x_MC @ getattr(self, "weight", token_table).T
        return cross_entropy(logits_MV, batch["target_labels"], self.smoothing).mean()


class OneOfSeveral:
    """The language model of one goal among several, which share the output: the mean over the targets in sequences
    whose turn it is."""

    def __init__(self, model, turn):
        self.model, self.turn = model, turn

    def loss(self, hidden_NC, batch, token_table):
        turns_M = [batch["turns"][next(b for b, (_, end) in enumerate(spans(batch["starts"])) if row < end)]
                   for row in batch["target_rows"]]
        own = torch.stack(turns_M) == self.turn
        return self.model.loss(hidden_NC, batch | {key: batch[key][own] for key in ("target_rows", "target_labels")},
                               token_table)


class MaskedLanguageModel(nn.Module):
    """Devlin et al. 2018 (arXiv:1810.04805) and its released code: transform, GELU, norm, tied output with bias."""

    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__()
        self.transform = Linear(m["width"], m["width"])
        self.norm = Norm(m)
        self.bias = nn.Parameter(torch.zeros(num_token_ids))

    def loss(self, hidden_NC, batch, token_table):
        x_MC = self.norm(gelu(self.transform(hidden_NC[batch["target_rows"]])))
        return cross_entropy(x_MC @ token_table.T + self.bias, batch["target_labels"]).mean()


class SequencePair(nn.Module):
    """Next-sentence and sentence-order prediction from the first token."""

    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__()
        self.pool, self.output = Linear(m["width"], m["width"]), Linear(m["width"], 2)

    def loss(self, hidden_NC, batch, token_table):
        first_BC = hidden_NC[batch["starts"][:-1]]
        return cross_entropy(self.output(torch.tanh(self.pool(first_BC))), batch["sequence_labels"]).mean()


def buckets_of_ngrams(tokens, order, num_buckets):
    """Every n-gram of 1 to `order` tokens, hashed from its last token backwards by MurmurHash3's finaliser."""
    def mix(x):
        for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
            x = (x ^ x >> 33) * factor % 2 ** 64
        return x ^ x >> 33

    for last in range(len(tokens)):
        hashed = 0
        for token in tokens[max(0, last - order + 1):last + 1][::-1]:
            hashed = mix((hashed + token + 1) % 2 ** 64)
            yield hashed % num_buckets


class Pooled(nn.Module):
    """A linear layer on the mean, the first or the last hidden state of a sequence, or on what its two texts have in common;
    the rows of its n-grams in a table are added to that."""

    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__()
        self.task, self.pooling = phase["task"], phase["task"].get("pooling", "mean")
        self.labels, self.smoothing = labels, phase.get("label_smoothing", 0.0)
        num_outputs = len(labels) if labels else 1
        self.output = Linear((4 if self.pooling == "pair" else 1) * m["width"], num_outputs)
        if "ngrams" in self.task:
            self.output.ngrams = nn.Parameter(torch.zeros(self.task["ngrams"]["buckets"], num_outputs))

    def pair(self, hidden_NC, segments_N):
        u, v = (hidden_NC[segments_N == text].mean(dim=0) for text in (0, 1))
        return torch.cat([u, v, (u - v).abs(), u * v])

    def outputs(self, hidden_NC, batch):
        outputs_BK = self.output(self.pooled(hidden_NC, batch))
        if "ngrams" not in self.task:
            return outputs_BK
        rows = [list(buckets_of_ngrams(batch["tokens"][a:b].tolist(), self.task["ngrams"]["order"], self.task["ngrams"]["buckets"]))
                for a, b in spans(batch["starts"])]
        return outputs_BK + torch.stack([self.output.ngrams[row].sum(dim=0) for row in rows])

    def pooled(self, hidden_NC, batch):
        if self.pooling == "pair":
            return torch.stack([self.pair(hidden_NC[a:b], batch["segments"][a:b]) for a, b in spans(batch["starts"])])
        pool = {"mean": lambda x: x.mean(dim=0), "first": lambda x: x[0], "last": lambda x: x[-1]}[self.pooling]
        return torch.stack([pool(hidden_NC[a:b]) for a, b in spans(batch["starts"])])


class Classification(Pooled):
    """A row's loss times the weight of its label, summed, divided by the number of rows: not by the weights' sum."""

    def loss(self, hidden_NC, batch, token_table):
        weights_K = torch.tensor([self.task.get("class_weights", {}).get(label, 1.0) for label in self.labels])
        labels_B = batch["sequence_labels"]
        rows_B = cross_entropy(self.outputs(hidden_NC, batch), labels_B, self.smoothing)
        return (rows_B * weights_K[labels_B]).mean()


class Regression(Pooled):
    """Mean squared error."""

    def loss(self, hidden_NC, batch, token_table):
        return squared_error(self.outputs(hidden_NC, batch)[:, 0], batch["sequence_values"]).mean()


class MultiLabel(Pooled):
    """Binary cross-entropy of every label, the mean over sequences × labels."""

    def loss(self, hidden_NC, batch, token_table):
        logits_BK = self.outputs(hidden_NC, batch)
        truth_BK = batch["label_sets"].reshape(logits_BK.shape)
        return sigmoid_cross_entropy(logits_BK, truth_BK).mean()


class Tagging(nn.Module):
    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__()
        self.smoothing = phase.get("label_smoothing", 0.0)
        self.output = Linear(m["width"], len(labels))

    def loss(self, hidden_NC, batch, token_table):
        labelled = batch["token_labels"] >= 0
        return cross_entropy(self.output(hidden_NC[labelled]), batch["token_labels"][labelled], self.smoothing).mean()


class CrfTagging(Tagging):
    """A linear chain over the labelled tokens of a sequence (Lafferty et al. 2001)."""

    def __init__(self, m, phase, labels, num_token_ids, crf):
        super().__init__(m, phase, labels, num_token_ids)
        self.crf = [crf]  # in a list: its parameters are head.crf, not head.tagging.crf

    def loss(self, hidden_NC, batch, token_table):
        nats = 0.0
        for a, b in spans(batch["starts"]):
            labels = batch["token_labels"][a:b]
            if (labels >= 0).any():
                nats = nats + self.crf[0].nats(self.output(hidden_NC[a:b][labels >= 0]), labels[labels >= 0])
        return nats / (batch["token_labels"] >= 0).sum()


class Crf(nn.Module):
    """Tags in BIO: I-x follows B-x and I-x alone. Whatever their parameters, other ways to it score -10000."""

    def __init__(self, labels):
        super().__init__()
        num_labels = len(labels)
        inside = torch.tensor([label.startswith("I-") for label in labels])
        self.no_start = inside
        self.forbidden = inside & ~torch.tensor([[a != "O" and a[1:] == b[1:] for b in labels] for a in labels])
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))  # [from, to]
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.end = nn.Parameter(torch.zeros(num_labels))

    def nats(self, scores_TK, labels_T):
        return chain_nats((scores_TK, self.start.masked_fill(self.no_start, -1e4),
                           self.transitions.masked_fill(self.forbidden, -1e4), self.end), labels_T)


def chain_log_sum(scores_TK, start_K, transitions_KK, end_K):
    """The logarithm of the sum over all paths (forward algorithm)."""
    alpha_K = start_K + scores_TK[0]
    for row_K in scores_TK[1:]:
        alpha_K = torch.logsumexp(alpha_K[:, None] + transitions_KK, dim=0) + row_K
    return torch.logsumexp(alpha_K + end_K, dim=0)


def chain_nats(chain, labels_T):
    """-log p(labels): the logarithm of the sum over all paths less the path's own score."""
    scores_TK, start_K, transitions_KK, end_K = chain
    path = start_K[labels_T[0]] + scores_TK[torch.arange(len(labels_T)), labels_T].sum()
    path = path + transitions_KK[labels_T[:-1], labels_T[1:]].sum() + end_K[labels_T[-1]]
    return chain_log_sum(*chain) - path


class QuestionAnswering(Linear):
    """Two softmaxes, for the answer's first and last token, over the sequence's first token (no answer) and those of the
    second text but its last one, which is a separator; the loss of a question is the mean of both."""

    def __init__(self, m, phase, labels, num_token_ids):
        super().__init__(m["width"], 2)

    def loss(self, hidden_NC, batch, token_table):
        logits_N2, losses = self(hidden_NC), []
        for n, (a, b) in enumerate(spans(batch["starts"])):
            rows = [a] + [row for row in range(a + 1, b - 1) if batch["segments"][row] == 1]
            for column, key in enumerate(("answer_first", "answer_last")):
                label = torch.tensor([rows.index(int(batch[key][n]))])
                losses.append(0.5 * cross_entropy(logits_N2[rows, column][None], label))
        return torch.cat(losses).sum() / (len(batch["starts"]) - 1)


HEADS = {"mlm": MaskedLanguageModel, "nsp": SequencePair, "sop": SequencePair, "clm": LanguageModel,
         "prefix_lm": LanguageModel, "span": LanguageModel, "generation": LanguageModel,
         "classification": Classification, "regression": Regression, "multi_label": MultiLabel, "tagging": Tagging,
         "question_answering": QuestionAnswering}
LANGUAGE_MODELS = ("clm", "prefix_lm", "span", "generation")


def make_heads(m, phase, labels, num_token_ids):
    """Modules by the names of their parameters' folder, and by the names of their goals."""
    goals = list(phase["objectives"]) if "objectives" in phase else [phase["task"]["kind"]]
    modules, by_goal = {}, {}
    if len(goals) > 1 and set(goals) <= set(LANGUAGE_MODELS):
        modules["lm"] = LanguageModel(m, phase, labels, num_token_ids)
        return Named(**modules), {goal: OneOfSeveral(modules["lm"], turn) for turn, goal in enumerate(goals)}
    for goal in goals:
        arguments, kind = [m, phase, labels, num_token_ids], HEADS[goal]
        if goal == "tagging" and phase["task"].get("head") == "crf":
            kind = CrfTagging
            arguments.append(Crf(labels))
            modules["crf"] = arguments[-1]
        by_goal[goal] = modules["lm" if goal in LANGUAGE_MODELS else goal] = kind(*arguments)
    return Named(**modules), by_goal
