# SPDX-License-Identifier: Apache-2.0
"""Phases that start from a phase of another run, or learn from one, as if it were their own; and what made a checkpoint."""
import json
import re
import shutil
import unittest

from job import DATA, DONE, USAGE, RoadTest, Run, polyphase, settings

HEAD = """
name: {name}
seed: 3
checkpoint: {{every_steps: 4, keep: 2}}
{tokenizer}
corpora:
  text:   {{kind: text, files: [text.txt], valid_fraction: 0.1}}
  topics: {{kind: classification, train: [topics-train.tsv], valid: [topics-valid.tsv], test: [topics-test.tsv]}}
model: {{family: bert, num_layers: {layers}, width: {width}, num_heads: 4, max_tokens: 32, norm: pre}}
phases:
"""
PRETRAIN = """  - name: pretrain
    objectives: {mlm: 1.0, nsp: 1.0}
    data: {text: 1.0}
    batch: {sequences: 16, micro_batch: 4}
    optimizer: {learning_rate: 2e-3}
    stop: {steps: 10}
    evaluate: {max_samples: 32}
"""
TOPIC = """  - name: topic
    from: FROM
    task: {kind: classification}
    data: {topics: 1.0}
    batch: {sequences: 16, micro_batch: 4}
    optimizer: {learning_rate: 1e-3, state: keep}
    stop: {steps: 12}
"""
STUDENT = """  - name: student
    distil: {teacher: {run: ../big}, temperature: 2, weight: 0.7}
    task: {kind: classification}
    data: {topics: 1.0}
    batch: {sequences: 16, micro_batch: 4}
    optimizer: {learning_rate: 1e-3}
    stop: {steps: 12}
"""
OWN_TOKENIZER = "tokenizer: {kind: unigram, vocab_size: 200, corpora: [text]}"


def head(name, tokenizer="", layers=2, width=32):
    return HEAD.format(name=name, tokenizer=tokenizer, layers=layers, width=width)


class OtherRunTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recipes = {
            "base": head("base", OWN_TOKENIZER) + PRETRAIN + TOPIC.replace("FROM", "pretrain"),
            "small": head("small") + TOPIC.replace("FROM", "{run: ../base, phase: pretrain}"),
            "big": head("big", "tokenizer: {model: ../base/data/tokenizer.model}", 3, 48)
                   + TOPIC.replace("    from: FROM\n", "").replace(", state: keep", ""),
            "student": head("student") + STUDENT,
            "other": head("other", OWN_TOKENIZER.replace("unigram", "char")) + PRETRAIN,
        }
        cls.runs = {}
        for name in ("base", "big"):
            cls.runs[name] = cls.run_of(cls, name)
            outcome = cls.runs[name].go(ranks=None)
            assert outcome.code == DONE, outcome

    def run_of(self, recipe, path=None, **values):
        file = self.scratch / f"{recipe}.yaml"
        file.write_text(self.recipes[recipe])
        run = Run(self.scratch / (path or recipe), self.texts, **values)
        run.arguments = lambda *more, **extra: [
            "run", file, *settings({**run.values, **extra}), *more]
        return run

    def away(self, name):
        """The folder of a run is gone for the rest of a test."""
        path, hidden = self.scratch / name, self.scratch / f"{name}-hidden"
        path.rename(hidden)
        self.addCleanup(lambda: hidden.exists() and hidden.rename(path))
        return lambda: hidden.rename(path)

    def result(self, run, phase):
        return json.loads((run.checkpoints(phase)[-1] / "manifest.json").read_text())["state"]

    def assert_refused(self, run, *words, code=USAGE):
        for ranks in (None, 2):
            outcome = run.go(ranks=ranks)
            self.assert_exit(outcome, code)
            self.assert_says(outcome, *words)
            self.assertEqual(outcome.text.count(words[0]), 1, outcome)

    # A phase of another run is taken like an earlier phase.

    def test_it_is_the_same_as_one_run_to_the_last_bit(self):
        base = self.runs["base"]
        for ranks in (None, 2):
            run = self.run_of("small", f"small-{ranks}")
            outcome = run.go(ranks=ranks)
            self.assert_exit(outcome, DONE)
            self.assertEqual(run.steps("topic"), base.steps("topic"))
            self.assertEqual(run.digests("topic"), base.digests("topic"))
            mine, its = ({p["name"]: p for p in r.status()["phases"]}["topic"] for r in (run, base))
            self.assertEqual(mine["metrics"], its["metrics"])
            self.assertEqual(mine["handover"], its["handover"])
            self.assertTrue(mine["handover"]["carried"])
            self.assertEqual(mine["from"], "base/pretrain")
            self.assertRegex(outcome.text, r"topic: \d+ parameters carried from base/pretrain, 2 new, \d+ left behind")
            self.assertRegex(outcome.text, r"topic: optimizer state of \d+ parameters kept")
            self.assertIn("base/pretrain", (run.path / "report.html").read_text())

    def test_tensor_parallel_ranks_stay_within_rounding(self):
        run = self.run_of("small", "small-split", **{"parallel.tensor": 2})
        self.assert_exit(run.go(ranks=2), DONE)
        for mine, straight in zip(run.steps("topic"), self.runs["base"].steps("topic")):
            self.assertAlmostEqual(mine[1], straight[1], delta=2e-4 * straight[1])

    def test_layers_grow_from_another_run(self):
        grown = {"model.num_layers": 3, "phases.topic.growth": "stack"}
        run = self.run_of("small", "small-grown", **grown)
        outcome = run.go(ranks=2)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "copied from other layers (stack)")
        self.assert_refused(self.run_of("small", "small-unsaid", **{"model.num_layers": 3}),
                            "phases.topic has 3 layers and \"base/pretrain\", which it starts from, 2; say")

    def test_killed_run_goes_on_without_the_other_run(self):
        run = self.run_of("small", "small-killed")
        for step, ranks in ((2, 2), (6, None), (10, 2)):
            job = run.start(ranks=ranks)
            self.assertTrue(job.freeze_when(lambda: len(run.steps("topic")) >= step and
                                            (step < 4 or run.checkpoints("topic"))))
            job.kill()
            self.assertNotEqual(job.wait().code, DONE)
            if step == 2:
                self.assertFalse(run.checkpoints("topic"))
                back = self.away("base")
                self.assert_refused(run, "phases.topic.from: there is no folder")
                back()
            if step == 6:
                self.away("base")
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertEqual(run.digests("topic"),
                         Run(self.scratch / "base-hidden", self.texts).digests("topic"))
        self.assert_exit(run.go(ranks=2), DONE)
        self.assert_exit(polyphase("evaluate", run.path, "--part", "valid"), DONE)

    def test_what_was_taken_may_not_change_before_the_first_checkpoint(self):
        base = self.runs["base"].copy_to(self.scratch / "base-changed")
        run = self.run_of("small", "small-early", **{"phases.topic.from.run": base.path})
        job = run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: len(run.steps("topic")) >= 1))
        self.assertFalse(run.checkpoints("topic"))
        job.kill()
        job.wait()
        taken = run.status()["phases"][0]["others"][0]["lineage"]
        self.assertEqual((taken["run"], taken["phase"], taken["step"]), ("base", "pretrain", 10))
        changed = self.run_of("base", "base-donor", **{"phases.pretrain.optimizer.learning_rate": "1e-3"})
        self.assert_exit(changed.go("--phase", "pretrain", ranks=None), DONE)
        checkpoints = base.phase_folder("pretrain") / "checkpoints"
        shutil.rmtree(checkpoints)
        shutil.copytree(changed.phase_folder("pretrain") / "checkpoints", checkpoints)
        self.assert_refused(run, "has changed since this run took it: then step-000010 with the digest "
                            + taken["digest"])
        shutil.rmtree(checkpoints)
        shutil.copytree(self.runs["base"].phase_folder("pretrain") / "checkpoints", checkpoints)
        self.assert_exit(run.go(ranks=2), DONE)
        self.assertEqual(run.digests("topic"), self.runs["base"].digests("topic"))

    # What is wrong is told before anything is made.

    def test_wrong_runs_and_phases_are_told_with_their_place(self):
        base = self.scratch / "base"
        for number, (parent, words) in enumerate((
                ("{run: ../bsae}", f"there is no folder {self.scratch}/bsae; the path of a run starts from the recipe's"),
                ("{run: .}", f"{self.texts}/ is not the folder of a run"),
                (f"{{run: {self.runs['base'].checkpoints('pretrain')[-1]}}}", "is one checkpoint; give the folder"),
                ("{run: ../base}", "has several finished phases: pretrain (done), topic (done); say which"),
                ("{run: ../base, phase: pretrian}", f"the run {base} has no phase pretrian; it has pretrain (done)"),
                ("{run: ../big}", "big has another model than this recipe: width 48 there, 32 here"))):
            recipe = self.recipes["small"].replace("{run: ../base, phase: pretrain}", parent)
            self.recipes["wrong"] = recipe.replace("model:", OWN_TOKENIZER + "\nmodel:")
            run = self.run_of("wrong", f"wrong-{number}")
            line = self.recipes["wrong"][:self.recipes["wrong"].index("    from:")].count("\n") + 1
            self.assert_refused(run, f"wrong.yaml:{line}:11: phases.topic.from: ", words)
            self.assertFalse(run.path.exists(), parent)

    def test_an_unfinished_phase_is_refused(self):
        base = self.run_of("base", "base-unfinished")
        self.assert_exit(base.go("--phase", "pretrain", ranks=None), DONE)
        parent = {"phases.topic.from": f"{{run: {base.path}, phase: topic}}"}
        self.assert_refused(self.run_of("small", "small-waits", **parent),
                            "phase topic of the run", "is pending; let that run finish it first")
        alone = self.run_of("small", "small-alone", **{"phases.topic.from": f"{{run: {base.path}}}"})
        self.assert_exit(alone.go(ranks=None), DONE)  # its one finished phase needs no name
        self.assertEqual(alone.digests("topic"), self.runs["base"].digests("topic"))

    def test_a_damaged_checkpoint_is_refused(self):
        for file in ("writer-0000.h5", "manifest.json"):
            base = self.runs["base"].copy_to(self.scratch / f"base-damaged-{file}")
            path = base.checkpoints("pretrain")[-1] / file
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(bytes(data))
            run = self.run_of("small", f"small-damaged-{file}", **{"phases.topic.from.run": base.path})
            self.assert_refused(run, "phases.topic.from: ", "damaged", code=DATA)
            self.assertFalse(run.path.exists())

    def test_another_tokenizer_is_refused_with_both_digests(self):
        other = self.run_of("other")
        self.assert_exit(other.go(ranks=None), DONE)
        theirs, ours = (self.result(run, "pretrain")["data"]["tokenizer"] for run in (self.runs["base"], other))
        self.assertNotEqual(theirs, ours)
        words = (f"phases.topic.from: base/pretrain was trained with the tokenizer {theirs} (",
                 f"this recipe's is {ours}", "write tokenizer: {model: ../base/data/tokenizer.model}")
        self.recipes["given"] = self.recipes["small"].replace(
            "corpora:", f"tokenizer: {{model: {other.path}/data/tokenizer.model}}\ncorpora:", 1)
        given = self.run_of("given")
        self.assert_refused(given, *words)
        self.assertFalse(given.path.exists())
        self.recipes["trained"] = self.recipes["small"].replace(
            "corpora:", OWN_TOKENIZER.replace("unigram", "char") + "\ncorpora:", 1)
        self.assert_refused(self.run_of("trained"), *words)
        self.recipes["same"] = self.recipes["small"].replace("corpora:", OWN_TOKENIZER + "\ncorpora:", 1)
        self.assert_exit(self.run_of("same").go(ranks=None), DONE)  # the same text makes the same tokenizer

    # A teacher of another run, of another depth and width.

    def test_a_teacher_of_another_run_and_shape(self):
        straight = self.run_of("student", "student-straight")
        outcome = straight.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "student: learns from big too")
        alone = self.run_of("student", "student-alone", **{"phases.student.distil.weight": 0})
        self.assert_exit(alone.go(ranks=None), DONE)
        self.assertNotEqual(alone.steps("student")[0][1], straight.steps("student")[0][1])
        two = self.run_of("student", "student-two")
        for step, ranks, stages in ((3, 2, 2), (9, None, 1)):  # of the teacher's three layers, too
            job = two.start(ranks=ranks, **{"parallel.pipeline": stages})
            self.assertTrue(job.freeze_when(lambda: len(two.steps("student")) >= step))
            job.kill()
            job.wait()
        self.assert_exit(two.go(ranks=2), DONE)
        self.assertEqual(two.steps("student"), straight.steps("student"))
        self.assertEqual(two.digests("student"), straight.digests("student"))
        split = self.run_of("student", "student-split", **{"parallel.tensor": 2})
        self.assert_exit(split.go(ranks=2), DONE)
        for mine, its in zip(split.steps("student"), straight.steps("student")):
            self.assertAlmostEqual(mine[1], its[1], delta=2e-4 * its[1])
        teacher = self.result(straight, "student")["lineage"]["teacher"]
        self.assertEqual((teacher["run"], teacher["phase"], teacher["step"]), ("big", "topic", 12))
        self.away("big")
        self.assert_exit(straight.go(ranks=None), DONE)  # a finished phase needs no teacher

    def test_a_teacher_of_another_run_shows_its_attention(self):
        keys = {"phases.student.distil": "{teacher: {run: ../big}, weight: 0.5, attention: 2, layers: all}"}
        straight = self.run_of("student", "attentive", **keys)
        self.assert_exit(straight.go(ranks=None), DONE)
        loss, parts = straight.steps("student")[0][1:3]
        self.assertGreater(parts["attention"], 0)
        self.assertAlmostEqual(loss, parts["classification"] + 2 * parts["attention"], places=5)
        two = self.run_of("student", "attentive-two", **keys)
        for step, ranks, stages in ((3, 2, 2), (9, None, 1)):
            job = two.start(ranks=ranks, **{"parallel.pipeline": stages})
            self.assertTrue(job.freeze_when(lambda: len(two.steps("student")) >= step))
            job.kill()
            job.wait()
        self.assert_exit(two.go(ranks=2), DONE)
        self.assertEqual(two.steps("student"), straight.steps("student"))
        self.assertEqual(two.digests("student"), straight.digests("student"))
        split = self.run_of("student", "attentive-split", **{"parallel.tensor": 2, **keys})
        self.assert_exit(split.go(ranks=2), DONE)
        for mine, its in zip(split.steps("student"), straight.steps("student")):
            self.assertAlmostEqual(mine[1], its[1], delta=2e-4 * its[1])

    def test_a_teacher_that_does_not_fit_is_refused(self):
        run = self.run_of("student", "student-hidden", **{"phases.student.distil.hidden": 1})
        self.assert_refused(run, "phases.student.distil.teacher: big is 48 wide, this model 32; distil.hidden")
        run = self.run_of("student", "student-layers", **{"phases.student.distil.attention": 1, "model.num_layers": 4,
                                                          "phases.student.distil.layers": "all"})
        self.assert_refused(run, "phases.student.distil.layers is all, but \"big\" has 3 layers, fewer than the 4 here")
        run = self.run_of("student", "student-heads", **{"phases.student.distil.attention": 1, "model.num_heads": 2})
        self.assert_refused(run, "phases.student.distil.teacher: big has 4 attention heads, this model 2;")
        run = self.run_of("student", "student-other",
                          **{"phases.student.distil.teacher": "{run: ../base, phase: pretrain}"})
        self.assert_refused(run, "which was trained for mlm + nsp, not for classification")
        self.recipes["three"] = self.recipes["student"].replace("width: 32, num_heads: 4", "width: 48, num_heads: 6")
        outcome = self.run_of("three", **{"parallel.tensor": 3}).go(ranks=3)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phases.student.distil.teacher: big: model.num_heads is 4, which parallel.tensor 3")
        outcome = self.run_of("student", "student-stages", **{"parallel.pipeline": 2, "parallel.interleave": 2,
                                                              "model.num_layers": 4}).go(ranks=2)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phases.student.distil.teacher: big: parallel.interleave is 2, but phase \"topic\" has 3 layers")

    def test_going_on_with_another_teacher_is_refused(self):
        big = self.runs["big"].copy_to(self.scratch / "big-changed")
        run = self.run_of("student", "student-changed", **{"phases.student.distil.teacher.run": big.path})
        job = run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: run.checkpoints("student")))
        job.kill()
        job.wait()
        donor = self.run_of("big", "big-donor", **{"phases.topic.optimizer.learning_rate": "2e-3"})
        self.assert_exit(donor.go(ranks=None), DONE)
        taken = big.phase_folder("topic")
        shutil.rmtree(taken)
        shutil.copytree(donor.phase_folder("topic"), taken)
        self.assert_refused(run, "phases.student.distil.teacher: big-changed has changed since this run took it")

    def test_plan_counts_a_teacher_of_another_run(self):
        file = self.scratch / "student.yaml"
        file.write_text(self.recipes["student"])
        outcome = polyphase("plan", file, "--set", f"folder={self.texts}")
        self.assert_exit(outcome, DONE)
        row = next(line.split() for line in outcome.out.splitlines() if line.startswith("student"))
        self.assertRegex(row[-2], r"^\d+$", outcome)

    # What made a checkpoint.

    def test_a_checkpoint_tells_what_made_it(self):
        run = self.run_of("small", "small-told")
        self.assert_exit(run.go(ranks=2), DONE)
        base = self.runs["base"]
        parent = base.checkpoints("pretrain")[-1]
        told = polyphase("inspect", parent)
        self.assert_exit(told, DONE)
        digest = re.search(r"digest ([0-9a-f]{32})\n", told.out)[1]
        lineage = self.result(run, "topic")["lineage"]
        self.assertEqual((lineage["run"], lineage["phase"], lineage["seed"]), ("small", "topic", 3))
        self.assertEqual(list(lineage["data"]["corpora"]), ["topics"])
        self.assertEqual(lineage["data"]["tokenizer"], self.result(run, "topic")["data"]["tokenizer"])
        above = lineage["from"]
        self.assertEqual((above["run"], above["phase"], above["step"], above["digest"]),
                         ("base", "pretrain", 10, digest))
        self.assertNotIn("from", above)
        self.assertEqual(list(above["data"]["corpora"]), ["text"])
        first = run.metrics("topic")[0]
        self.assertEqual((first["kind"], first["lineage"]), ("lineage", lineage))
        outcome = polyphase("inspect", run.checkpoints("topic")[-1])
        self.assert_says(outcome, "topic, step 12, of run small\n  seed 3, polyphase ",
                         f"  from pretrain, step 10, of run base, checkpoint {digest[:12]}\n    seed 3")
        self.assertIn(f"from pretrain, step 10, of run base, checkpoint {digest[:12]}",
                      (run.path / "report.html").read_text())
        # Covered by the manifest's digest.
        copy = self.scratch / "told"
        shutil.copytree(run.checkpoints("topic")[-1], copy)
        text = (copy / "manifest.json").read_text()
        (copy / "manifest.json").write_text(text.replace('"run": "base"', '"run": "bose"').replace(
            '"run":"base"', '"run":"bose"'))
        self.assertNotEqual((copy / "manifest.json").read_text(), text)
        self.assert_exit(polyphase("verify", copy), DATA)


if __name__ == "__main__":
    unittest.main()
