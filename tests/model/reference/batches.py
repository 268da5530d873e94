# SPDX-License-Identifier: Apache-2.0
"""Random batches for families.py, which describes their format. Tokens below 5 are special ones."""

VOCABULARY, NUM_SENTINELS, SEQUENCES, MAX_TOKENS = 50, 100, 4, 16
START, END, MASK, SEPARATOR, CLASS = 0, 1, 4, 3, 2


def words(rng, count):
    return rng.integers(5, VOCABULARY, int(count)).tolist()


def pack(texts, firsts=None):
    """Sequences one behind the other; firsts: where the second text of each begins."""
    rows = {"tokens": [], "positions": [], "starts": [0]}
    for text in texts:
        rows["tokens"] += text
        rows["positions"] += list(range(len(text)))
        rows["starts"].append(len(rows["tokens"]))
    if firsts is not None:
        rows["segments"] = [int(row >= first) for text, first in zip(texts, firsts) for row in range(len(text))]
    return rows


def plain(settings, rng):
    texts = [words(rng, rng.integers(5, 15)) for _ in range(SEQUENCES)]
    firsts = [int(rng.integers(2, len(text))) for text in texts] if settings["segments"] else None
    return pack(texts, firsts)


def predict_next(batch, given):
    """Every token from number given[b] on is predicted by the one before it."""
    rows = [row for n, (a, b) in enumerate(zip(batch["starts"], batch["starts"][1:]))
            for row in range(a + given[n] - 1, b - 1)]
    batch["target_rows"] = rows
    batch["target_labels"] = [batch["tokens"][row + 1] for row in rows]


def lengths(batch):
    return [b - a for a, b in zip(batch["starts"], batch["starts"][1:])]


def mask(batch, rng):
    rows = len(batch["tokens"])
    masked = sorted(rng.choice(rows, size=max(3, round(0.2 * rows)), replace=False).tolist())
    batch["target_rows"], batch["target_labels"] = masked, [batch["tokens"][row] for row in masked]
    for n, row in enumerate(masked):  # mostly the mask, sometimes another token, sometimes itself
        if n % 5 < 4:
            batch["tokens"][row] = MASK if n % 5 < 3 else int(rng.integers(5, VOCABULARY))


def corrupt(text, rng):
    """Two spans of one or two tokens become sentinels; the target names each sentinel and what it stands for."""
    first = int(rng.integers(1, len(text) // 2))
    second = int(rng.integers(first + 3, len(text) + 1)) if first + 3 <= len(text) else len(text)
    source, target, at = [], [], 0
    for sentinel, begin in enumerate((first, second)):
        end = min(begin + int(rng.integers(1, 3)), len(text))
        if begin >= end:
            continue
        source += text[at:begin] + [VOCABULARY + sentinel]
        target += [VOCABULARY + sentinel] + text[begin:end]
        at = end
    return source + text[at:] + [END], target + [END]


def from_source(goals, rng):
    """What an encoder reads and a decoder says: its input is its output, moved by one. Goals take turns."""
    sources, targets = [], []
    turns = [n % len(goals) for n in range(SEQUENCES)]
    for turn in turns:
        if goals[turn] == "span":
            source, target = corrupt(words(rng, rng.integers(6, 14)), rng)
        else:
            source, target = words(rng, rng.integers(4, 14)) + [END], words(rng, rng.integers(2, 12)) + [END]
        sources.append(source)
        targets.append(target)
    batch = pack([[START] + target[:-1] for target in targets])
    batch["source"] = pack(sources)
    if len(goals) > 1:
        batch["turns"] = turns
    batch["target_rows"] = list(range(len(batch["tokens"])))
    batch["target_labels"] = [token for target in targets for token in target]
    return batch


def tags(labels, count, rng):
    """Random BIO tags in which an inside tag only follows its own type."""
    drawn, previous = [], "O"
    for _ in range(count):
        allowed = [k for k, label in enumerate(labels)
                   if not label.startswith("I-") or previous[1:] == label[1:] and previous != "O"]
        drawn.append(int(rng.choice(allowed)))
        previous = labels[drawn[-1]]
    return drawn


def question(rng):
    """[CLS] question [SEP] context [SEP], and the first and last row of the answer from the sequence's beginning."""
    asked, context = words(rng, rng.integers(2, 5)), words(rng, rng.integers(3, 9))
    text, first = [CLASS] + asked + [SEPARATOR] + context + [SEPARATOR], len(asked) + 2
    if rng.random() < 0.25:
        return text, first, (0, 0)
    begin = int(rng.integers(0, len(context)))
    end = int(rng.integers(begin, len(context)))
    return text, first, (first + begin, first + end)


def questions(rng):
    drawn = [question(rng) for _ in range(SEQUENCES)]
    batch = pack([text for text, _, _ in drawn], [first for _, first, _ in drawn])
    for n, key in enumerate(("answer_first", "answer_last")):
        batch[key] = [start + answer[n] for start, (_, _, answer) in zip(batch["starts"], drawn)]
    return batch


def has_decoder(settings, phase):
    """T5's tasks that label a text have their head on the encoder, and no decoder."""
    return settings["family"] == "t5" and phase.get("task", {"kind": "generation"})["kind"] == "generation"


def make_batch(settings, phase, labels, rng):
    goals = list(phase["objectives"]) if "objectives" in phase else [phase["task"]["kind"]]
    if has_decoder(settings, phase):
        return from_source(goals, rng)
    if goals == ["question_answering"]:
        return questions(rng)
    batch = plain(settings, rng)
    rows = len(batch["tokens"])
    if "clm" in goals and "prefix_lm" in goals:  # sequences take turns; the causal ones have no prefix
        batch["turns"] = [n % 2 for n in range(SEQUENCES)]
        given = [int(rng.integers(1, length)) for length in lengths(batch)]
        predict_next(batch, [given[n] if turn else 1 for n, turn in enumerate(batch["turns"])])
        batch["prefixes"] = [given[n] * turn for n, turn in enumerate(batch["turns"])]
    elif "clm" in goals:
        predict_next(batch, [1] * SEQUENCES)
    elif "prefix_lm" in goals or "generation" in goals:
        given = [int(rng.integers(1, length)) for length in lengths(batch)]
        predict_next(batch, given)
        if "prefix_lm" in goals:
            batch["prefixes"] = given
    if "mlm" in goals:
        mask(batch, rng)
    if "sop" in goals:
        batch["sequence_labels"] = rng.integers(0, 2, SEQUENCES).tolist()
    if "classification" in goals:
        batch["sequence_labels"] = rng.integers(0, len(labels), SEQUENCES).tolist()
    if "regression" in goals:
        batch["sequence_values"] = [round(float(rng.normal(0.5, 1.0)) * 8) / 8 for _ in range(SEQUENCES)]
    if "multi_label" in goals:
        batch["label_sets"] = (rng.random(SEQUENCES * len(labels)) < 0.3).astype(int).tolist()
    if "tagging" in goals:
        tagged = rng.random(rows) >= 0.3
        batch["token_labels"] = [-1] * rows
        for a, b in zip(batch["starts"], batch["starts"][1:]):
            carrying = [row for row in range(a, b) if tagged[row]]
            for row, tag in zip(carrying, tags(labels, len(carrying), rng)):
                batch["token_labels"][row] = tag
    return batch
