# SPDX-License-Identifier: Apache-2.0
"""Writes metrics.json: inputs and the numbers that the field's own tools give for them.

Needs scikit-learn, SciPy, seqeval and sacreBLEU; nothing of the build does. The official SQuAD scripts are no package:
their rules are written down again below. All sentences are made up; label lists are random with a fixed seed.
Usage: python tests/metrics/reference/make.py [FILE]
"""

import collections
import importlib.metadata
import json
import math
import pathlib
import random
import re
import string
import sys

import numpy as np
import sacrebleu
import scipy
import seqeval.metrics
import sklearn
from scipy import stats
from sklearn import metrics

RNG = random.Random(11)


def classification_case(num_classes, truth, predicted):
    macro = metrics.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)[:3]
    micro = metrics.precision_recall_fscore_support(truth, predicted, average="micro", zero_division=0)[:3]
    per_class = metrics.precision_recall_fscore_support(truth, predicted, labels=range(num_classes), zero_division=0)
    return {
        "num_classes": num_classes, "truth": truth, "predicted": predicted,
        "accuracy": metrics.accuracy_score(truth, predicted),
        "macro": [float(v) for v in macro], "micro": [float(v) for v in micro],
        "f1_score": [metrics.f1_score(truth, predicted, average=a, zero_division=0) for a in ("macro", "micro")],
        "per_class": [[float(v) for v in row] for row in zip(*per_class[:3])],
        "matthews": metrics.matthews_corrcoef(truth, predicted),
    }


def classification_cases():
    def noisy(truth, classes, share):
        return [k if RNG.random() < share else RNG.choice(classes) for k in truth]

    cases = []
    for classes, rows, share in ((2, 200, 0.7), (5, 150, 0.5), (12, 60, 0.2)):
        truth = [RNG.randrange(classes) for _ in range(rows)]
        cases.append(classification_case(classes, truth, noisy(truth, range(classes), share)))
    truth = [RNG.choice([0, 2, 5]) for _ in range(40)]  # classes 1 and 6 occur nowhere, 3 is predicted only
    cases.append(classification_case(7, truth, noisy(truth, [0, 2, 3, 4], 0.4)))
    cases.append(classification_case(3, [1] * 10, [1] * 10))
    cases.append(classification_case(3, [0, 1, 2, 0, 1], [1, 1, 1, 1, 1]))
    cases.append(classification_case(2, [0, 1, 0, 1], [1, 0, 1, 0]))
    return cases


def multi_label_cases():
    cases = []
    for labels, rows, density in ((4, 80, 0.4), (9, 50, 0.1), (3, 6, 0.0)):
        truth = [[int(RNG.random() < density) for _ in range(labels)] for _ in range(rows)]
        predicted = [[k if RNG.random() < 0.8 else int(RNG.random() < density) for k in row] for row in truth]
        for row in truth[:rows // 2]:
            row[0] = 0  # one label is rarer than the others
        scores = {average: metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
                  for average in ("macro", "micro")}
        cases.append({"truth": truth, "predicted": predicted,
                      "macro": [float(v) for v in scores["macro"][:3]],
                      "micro": [float(v) for v in scores["micro"][:3]],
                      "subset_accuracy": metrics.accuracy_score(np.array(truth), np.array(predicted))})
    return cases


def correlation_cases():
    cases = []
    for rows, levels, noise in ((50, None, 0.5), (120, 5, 1.0), (7, 3, 2.0), (300, None, 30.0)):
        x = [RNG.gauss(3, 1) for _ in range(rows)]
        y = [2 * v + RNG.gauss(0, noise) for v in x]
        if levels:  # so that ranks are shared
            x, y = [float(round(v)) for v in x], [round(v * levels) / levels for v in y]
        cases.append((x, y))
    cases.append(([1.0, 2.0, 3.0], [-2.0, -4.0, -6.0]))
    cases.append(([1e9 + v for v in (1.0, 2.0, 4.0, 3.0)], [0.1, 0.3, 0.2, 0.9]))
    return [{"x": x, "y": y, "pearson": float(stats.pearsonr(x, y)[0]), "spearman": float(stats.spearmanr(x, y)[0]),
             "ranks_x": stats.rankdata(x).tolist()} for x, y in cases]


def entity_cases():
    cases = []
    for types, sentences, share in ((["person", "place", "thing"], 40, 0.8), (["x"], 20, 0.5), (["A", "B"], 3, 0.0)):
        tags = ["O", "O"] + [f"{prefix}-{kind}" for kind in types for prefix in "BI"]
        # Any tag may follow any other: inside tags that begin an entity, and types that change midway, are in it.
        truth = [[RNG.choice(tags) for _ in range(RNG.randrange(1, 15))] for _ in range(sentences)]
        predicted = [[t if RNG.random() < share else RNG.choice(tags) for t in row] for row in truth]
        cases.append((truth, predicted))
    cases.append(([["O", "O"]], [["O", "O"]]))
    cases.append(([["B-a", "I-a", "O"], ["I-b"]], [["I-a", "I-a", "I-a"], ["B-b"]]))
    return [{"truth": truth, "predicted": predicted,
             "precision": float(seqeval.metrics.precision_score(truth, predicted, zero_division=0)),
             "recall": float(seqeval.metrics.recall_score(truth, predicted, zero_division=0)),
             "f1": float(seqeval.metrics.f1_score(truth, predicted, zero_division=0))} for truth, predicted in cases]


# The SQuAD scripts' rules: lower case, no punctuation, no articles, white space as single blanks.
def normalized(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def word_f1(predicted, answer, empty_rule):
    predicted, answer = normalized(predicted).split(), normalized(answer).split()
    if empty_rule and (not predicted or not answer):
        return float(predicted == answer)
    same = sum((collections.Counter(predicted) & collections.Counter(answer)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / len(answer)
    return 2 * precision * recall / (precision + recall)


def squad_scores(predicted, answers, version):
    if version == 2:
        answers = [answer for answer in answers if normalized(answer)] or [""]
    exact = max(float(normalized(predicted) == normalized(answer)) for answer in answers)
    return [exact, max(word_f1(predicted, answer, version == 2) for answer in answers)]


def best_threshold(questions, key):
    """find_best_thresh of the SQuAD 2.0 script."""
    score = best = sum(not q["has_answer"] for q in questions)
    threshold = 0.0
    for q in sorted(questions, key=lambda q: q["no_answer"]):
        score += q["squad_2"][key] if q["has_answer"] else (-1 if q["prediction"] else 0)
        if score > best:
            best, threshold = score, q["no_answer"]
    return [100.0 * best / len(questions), threshold]


QUESTIONS = [
    ("the Blue  Harbour", ["Blue Harbour", "harbour"]),
    ("A cat, an owl and the dog.", ["cat owl and dog", "a cat"]),
    ("1,250 metres", ["1250 metres", "1,250 m"]),
    ("Über den Straßen", ["über den straßen"]),
    ("ÉCOLE DES BEAUX-ARTS", ["École des Beaux-Arts"]),
    ("Åse Ødegård", ["åse ødegård"]),
    ("ŁÓDŹ, Žižkov and İzmir", ["łódź žižkov", "İZMIR"]),
    ("МОСКВА", ["Москва"]),
    ("ΑΘΗΝΑ", ["Αθηνα"]),
    ("a–b", ["b"]),
    ("“the” river", ["“ ” river"]),
    ("naïve the-orist", ["naive theorist"]),
    ("the", ["a"]),
    ("", ["something"]),
    ("", ["the"]),
    ("an", []),
    ("", []),
    ("anything", []),
    ("twenty twenty one", ["twenty one", "twenty-one twenty"]),
    ("Theodore's anthem", ["anthem of Theodore"]),
    ("he said \u2014 an\u00a0hour later", ["hour later"]),
    ("10\u00b0C", ["10\u00b0c", "10 C"]),
    ("東京 the 都", ["東京 都"]),
    ("the_end", ["end", "the end"]),
    ("x and y and z", ["x y z and"]),
]


def question_answering():
    questions = []
    for prediction, answers in QUESTIONS:
        questions.append({
            "prediction": prediction, "answers": answers, "normalized": normalized(prediction),
            "squad_1": squad_scores(prediction, answers, 1) if answers else None,
            "squad_2": squad_scores(prediction, answers, 2), "has_answer": bool(answers),
            "no_answer": round(RNG.random() * 0.5 + (0.0 if answers else 0.5), 3)})
    totals = [100.0 * sum(q["squad_2"][key] for q in questions) / len(questions) for key in (0, 1)]
    cut = [100.0 * sum(float(not q["has_answer"]) if q["no_answer"] > 0.5 else q["squad_2"][key] for q in questions)
           / len(questions) for key in (0, 1)]
    return {"questions": questions, "totals": totals, "totals_at_threshold_0.5": cut,
            "best": [best_threshold(questions, key) for key in (0, 1)]}


TRANSLATIONS = [
    ("The ferry leaves at 7.45, not at 8.", ["The ferry leaves at 7.45 and not at 8.", "At 7.45 the ferry departs, not 8."]),
    ("She paid $1,250.50 for a second-hand piano.", ["She paid $1,250.50 for a used piano.", "For $1,250.50 she bought a piano."]),
    ("Er sagte: \"Wir kommen morgen früh\".", ["Er sagte: „Wir kommen morgen früh“.", "Er sagte, wir kämen morgen früh."]),
    ("AT&amp;T &lt;b&gt;grows&lt;/b&gt; &quot;fast&quot;", ["AT&T <b>grows</b> \"quickly\"", "AT & T grows fast"]),
    ("&amp;lt; stays as it is", ["&lt; stays like that", "< stays as it is"]),
    ("In 1998-2003 the 3-room flat cost 5,000.", ["From 1998-2003 the 3-room flat cost 5,000.", "The flat cost 5.000 in 1998-2003."]),
    ("the the the the the cat", ["the cat sat on the mat", "there is the cat"]),
    ("Wait... what?! No,no,no.", ["Wait... what? No, no, no.", "Wait, what?"]),
    ("Größe: 12,5 cm × 3 cm (ca.)", ["Größe: 12,5 cm × 3 cm (etwa)", "Größe 12.5 cm x 3 cm"]),
    ("it's O'Brien's l'eau-de-vie", ["it is O'Brien's eau-de-vie", "it's the eau-de-vie of O'Brien"]),
    ("Rivers\u00a0and\u3000lakes freeze\t.", ["Rivers and lakes freeze.", "Lakes and rivers freeze over."]),
    ("", ["Nothing was said.", ""]),
    ("one", ["one", "one two three four five"]),
    ("東京は 大きい。", ["東京は大きい。", "東京は 大きい 。"]),
    ("Привет, мир! 5.", ["Привет, мир! 6.", "Здравствуй, мир!"]),
    ("a broken-\nline and <skipped>a gap\nhere", ["a brokenline and a gap here", "a gap"]),
    (".5 and 5. and ..5,,", [".5 and 5. and ..5,,", "0.5 and 5"]),
    ("emoji 🙂 stays.", ["emoji 🙂 stays.", "an emoji 🙃 stays"]),
    ("a\\b{c}~d`e^f_g@h#i", ["a\\b {c} ~d`e^f_g@h#i", "a b c d"]),
    ("Trailing blanks   ", ["Trailing blanks", "   Leading blanks"]),
]


def translation_case(name, pairs, num_references):
    translations = [t for t, _ in pairs]
    streams = [[references[r] for _, references in pairs] for r in range(num_references)]
    bleu = sacrebleu.BLEU()
    score = bleu.corpus_score(translations, streams)
    chrf = sacrebleu.CHRF()
    return {"name": name, "rows": [p for p in range(len(TRANSLATIONS)) if TRANSLATIONS[p] in pairs],
            "references": num_references, "bleu": score.score, "precisions": score.precisions,
            "brevity_penalty": score.bp, "counts": score.counts, "totals": score.totals,
            "words": int(score.sys_len), "reference_words": int(score.ref_len),
            "chrf": chrf.corpus_score(translations, streams).score,
            "signatures": [str(bleu.get_signature()), str(chrf.get_signature())]}


def translation():
    tokenizer = sacrebleu.BLEU().tokenizer
    cases = [translation_case("all, one reference", TRANSLATIONS, 1),
             translation_case("all, two references", TRANSLATIONS, 2)]
    for first, last in ((0, 3), (6, 7), (11, 12), (12, 13), (13, 15), (18, 19)):
        for references in (1, 2):
            cases.append(translation_case(f"rows {first} to {last}", TRANSLATIONS[first:last], references))
    return {"pairs": [{"translation": t, "references": r, "tokens": tokenizer(t.rstrip())} for t, r in TRANSLATIONS],
            "cases": cases}


def perplexity_cases():
    return [{"nats": nats, "tokens": tokens, "words": words, "bytes": size,
             "perplexity": math.exp(nats / tokens), "word_perplexity": math.exp(nats / words),
             "bits_per_byte": nats / (math.log(2) * size)}
            for nats, tokens, words, size in ((1234.5, 400, 310, 1500), (0.0, 3, 2, 11), (987654.321, 300000, 241000, 1250000))]


def unicode_digests():
    """Every code point's lower case, summed up so that the test can compare all of them."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    lower = 0
    for c in points:
        for mapped in chr(c).lower():
            lower = (lower * 1000003 + ord(mapped)) % 2**64
    exact = [c for c in points if c < 0x590 or 0x2000 <= c < 0x2C00 or 0x3000 <= c < 0x3040 or 0xFE00 <= c < 0x10000]
    return {"lower": str(lower), "white_space": [c for c in points if chr(c).isspace()],
            "word_ranges": [[0, 0x590], [0x2000, 0x2C00], [0x3000, 0x3040], [0xFE00, 0x10000]],
            "num_word_characters": sum(bool(re.match(r"\w", chr(c))) for c in exact),
            "sum_word_characters": sum(c for c in exact if re.match(r"\w", chr(c)))}


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "metrics.json")
    document = {
        "made_with": {"python": sys.version.split()[0], "scikit-learn": sklearn.__version__, "scipy": scipy.__version__,
                      "seqeval": importlib.metadata.version("seqeval"), "sacrebleu": sacrebleu.__version__},
        "classification": classification_cases(), "multi_label": multi_label_cases(),
        "correlation": correlation_cases(), "entities": entity_cases(), "question_answering": question_answering(),
        "translation": translation(), "perplexity": perplexity_cases(), "unicode": unicode_digests(),
    }
    sections = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items()]
    path.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")
    json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
