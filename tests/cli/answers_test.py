# SPDX-License-Identifier: Apache-2.0
"""Answers of a trained phase: cut from their context, scored as SQuAD's scripts do, with and without a threshold."""
import json
import random
import re
import subprocess
import unittest

from used_runs import ENCODER, UsedRuns, question, squad


class AnswerTest(UsedRuns):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.encoder = cls.trained("encoder", ENCODER, "--phase", "answer")

    def test_answers_are_cut_from_their_context(self):
        file = self.texts / "answers.json"
        data = json.loads(file.read_text())["data"][0]["paragraphs"]
        outcome = self.predict("--phase", "answer", "--input", file, "--format", "jsonl")
        both = self.predict("--phase", "answer", "--input", file, "--format", "jsonl", ranks=2)
        self.assertEqual(outcome.out, both.out)
        found = [json.loads(line) for line in outcome.out.splitlines()]
        self.assertEqual([f["id"] for f in found], [p["qas"][0]["id"] for p in data])
        exact = 0
        for prediction, paragraph in zip(found, data):
            self.assertIn(prediction["answer"], paragraph["context"])
            self.assertEqual(prediction["answer"] == "",
                             prediction["no_answer_score"] > prediction["score"])
            exact += prediction["answer"] == paragraph["qas"][0]["answers"][0]["text"]
        scores = self.metrics("--phase", "answer", "--input", file)
        self.assertEqual(scores["samples"], len(data))
        self.assertAlmostEqual(scores["metrics"]["exact_match"], 100 * exact / len(data), places=9)
        self.assertGreaterEqual(scores["metrics"]["f1"], scores["metrics"]["exact_match"])
        self.assertGreater(exact, 5)  # one word of twenty or so
        self.assertEqual(scores, self.metrics("--phase", "answer", "--input", file, ranks=2))
        # The same questions as lines.
        lines = "".join(f"{p['qas'][0]['question']}\t{p['context']}\r\n" for p in data)
        texts = self.predict("--phase", "answer", text=lines).out.splitlines()
        self.assertEqual([line.split("\t")[0] for line in texts], [f["answer"] for f in found])

    def test_tokens_of_question_and_context_are_told_apart(self):
        checkpoint = sorted(self.encoder.glob("round-1/*-answer/checkpoints/step-*"))[-1]
        text = subprocess.run(["h5dump", "--dataset", "/optimizer/moment1/embedding.segment.weight",
                               checkpoint / "model.h5"], check=True, capture_output=True, text=True).stdout
        values = {int(row): 0.0 for row in range(4)}
        for row, numbers in re.findall(r"\((\d+),\d+\): (.*)", text):
            values[int(row)] += sum(abs(float(n)) for n in numbers.strip(",").split(",") if n.strip())
        # First text, second text, and those of their tokens that the other holds as well.
        self.assertTrue(all(values.values()), values)

    def test_a_question_without_an_answer_scores_as_squad_2(self):
        context, asked, answer, place = question(random.Random(8))
        data = squad([(context, asked, answer, place)])
        data["data"][0]["paragraphs"][0]["qas"].append(
            {"id": "none", "question": "zzz", "answers": [], "is_impossible": True})
        file = self.write("squad-2.json", json.dumps(data))
        found = [json.loads(line) for line in self.predict(
            "--phase", "answer", "--input", file, "--format", "jsonl").out.splitlines()]
        expected = [found[0]["answer"] == answer, found[1]["answer"] == ""]
        self.assertEqual(self.metrics("--phase", "answer", "--input", file)["metrics"]["exact_match"],
                         50 * sum(expected))

    def test_the_best_threshold_for_no_answer_is_found(self):
        data = json.loads((self.texts / "answers.json").read_text())
        for number, paragraph in enumerate(data["data"][0]["paragraphs"][:4]):
            paragraph["qas"].append({"id": f"none{number}", "question": "zzz ?", "answers": []})
        file = self.write("thresholds.json", json.dumps(data))
        found = [json.loads(line) for line in self.predict(
            "--phase", "answer", "--input", file, "--format", "jsonl",
            "--no-answer-threshold", "1e30").out.splitlines()]
        accepted = [[a["text"] for a in asked["answers"]]
                    for p in data["data"][0]["paragraphs"] for asked in p["qas"]]
        margins = [f["no_answer_score"] - f["score"] for f in found]
        right = [bool(a) and f["answer"] == a[0] for f, a in zip(found, accepted)]
        self.assertEqual([f["answer"] for f in found].count(""), 0)

        def exact(threshold):
            return 100 * sum(hit if margin <= threshold else not answers for hit, margin, answers
                             in zip(right, margins, accepted)) / len(found)

        scores = self.metrics("--phase", "answer", "--input", file)["metrics"]
        self.assertAlmostEqual(scores["best_exact"], max(map(exact, margins + [-1e9])), places=9)
        self.assertGreater(scores["best_exact"], exact(-1e9))
        threshold = scores["best_exact_thresh"]
        at_best = self.metrics("--phase", "answer", "--input", file,
                               f"--no-answer-threshold={threshold}")["metrics"]
        self.assertAlmostEqual(at_best["exact_match"], scores["best_exact"], places=9)
        self.assertAlmostEqual(at_best["exact_match"] * len(found), at_best["HasAns_exact"] *
                               (len(found) - 4) + at_best["NoAns_exact"] * 4, places=9)
        self.assertEqual(at_best["best_f1_thresh"], scores["best_f1_thresh"])

    def test_windows_reach_the_end_of_a_long_context(self):
        context, asked, _, _ = question(random.Random(2))
        outcome = self.predict("--phase", "answer", "--format", "jsonl",
                               text=f"{asked}\t{'q ' * 80}{context}")
        # Only the last windows show more than the letter q.
        self.assertTrue(set(json.loads(outcome.out)["answer"].split()) & set(context.split()))


if __name__ == "__main__":
    unittest.main()
