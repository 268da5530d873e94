# SPDX-License-Identifier: Apache-2.0
"""A shallow model is grown, teaches a student and is adapted by low-rank additions: the same on any way to get there."""
import json
import random
import shutil
import unittest

from job import DATA, DONE, SOURCE, USAGE, RoadTest, Run, polyphase, settings
from used_runs import question, squad

PHASES = ("shallow", "deep", "topic", "student", "adapted", "after")


class GrowthRun(Run):
    """A run of inputs/grown.yaml on made-up texts."""

    recipe = SOURCE / "inputs" / "grown.yaml"

    def arguments(self, *more, **values):
        return ["run", self.recipe, *settings({**self.values, **values}), *more]


class GrowthTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.run_of(cls, "straight")
        cls.outcome = cls.straight.go(ranks=None)
        assert cls.outcome.code == DONE, cls.outcome

    def run_of(self, name, **values):
        return GrowthRun(self.scratch / name, self.texts, **values)

    def manifest(self, run, phase):
        return json.loads((run.checkpoints(phase)[-1] / "manifest.json").read_text())

    def test_hand_overs_are_told(self):
        self.assert_says(
            self.outcome,
            "deep: 30 parameters carried from shallow, 24 copied from other layers (identity), 8 set to zero, 0 new",
            "student: learns from topic too",
            "student: 23 parameters carried from topic, 0 new, 32 left behind",
            "after: 55 parameters carried from adapted, 15 low-rank additions merged, 0 new, 0 left behind")
        handover = {p["name"]: p["handover"] for p in self.straight.status()["phases"]}["deep"]
        self.assertIn("layers.2.attention.query.weight from layers.0.attention.query.weight", handover["copied"])
        self.assertIn("layers.2.attention.output.weight: zero", handover["copied"])
        self.assertIn("copied", (self.straight.path / "report.html").read_text())

    def test_answers_and_whole_sentences_of_tags_are_learnt_alike_on_two_ranks(self):
        draw = random.Random(3)
        (self.texts / "answers.json").write_text(json.dumps(squad([question(draw) for _ in range(32)])))
        for name, task, corpus in (("crf", "{kind: tagging, head: crf}", {}),
                                   ("answers", "{kind: question_answering}",
                                    {"corpora.tags": "{kind: question_answering, train: [answers.json]}"})):
            with self.subTest(name):
                values = {**corpus, "model.max_tokens": 64, "phases.tags.task": task, "phases.topic.task": task,
                          "phases.topic.data": "{tags: 1.0}", "phases.topic.from": "pretrain"}
                taught = {**values, "phases.topic.distil": "{teacher: tags, temperature: 2, weight: 0.8}"}
                one, two = self.new_run(f"{name}-one", **taught), self.new_run(f"{name}-two", **taught)
                outcome = one.go(ranks=None)
                self.assert_exit(outcome, DONE)
                self.assert_says(outcome, "topic: learns from tags too")
                self.assert_exit(two.go(ranks=2), DONE)
                self.assert_same_road(two, one)
                alone = self.new_run(f"{name}-alone", **values)
                self.assert_exit(alone.go(ranks=None), DONE)
                self.assertNotEqual(alone.steps("topic"), one.steps("topic"))

    def test_every_phase_has_its_own_depth_and_state_of_what_it_trains(self):
        for phase, layers in (("shallow", 1), ("deep", 3), ("student", 1), ("adapted", 3)):
            names = self.manifest(self.straight, phase)["tensors"]
            found = {name.split(".")[1] for name in names if name.startswith("parameters/layers.")}
            self.assertEqual(found, {str(number) for number in range(layers)}, phase)
        states = {name.split("/")[2] for name in self.manifest(self.straight, "adapted")["tensors"]
                  if name.startswith("optimizer/")}
        self.assertTrue(states)
        for name in states:
            self.assertTrue(name.endswith(("lora_a", "lora_b")) or name.startswith("head."), name)
        frozen = self.straight.digests("adapted")["parameters/layers.1.feed_forward.out.weight"]
        self.assertEqual(frozen, self.straight.digests("deep")["parameters/layers.1.feed_forward.out.weight"])

    def test_grown_phase_begins_where_the_shallow_one_ended(self):
        # Without dropout, the first step of a model that computes the same has the same loss as a step of the
        # shallow one on the same samples: those of a phase of that name.
        quiet = {"model.dropout": 0, "model.attention_dropout": 0}
        grown = self.run_of("grown", **quiet)
        self.assert_exit(grown.go("--phase", "shallow", ranks=None), DONE)
        self.assert_exit(grown.go("--phase", "deep", ranks=None), DONE)
        recipe = self.scratch / "level.yaml"
        text = GrowthRun.recipe.read_text().replace("    growth: identity\n", "    num_layers: 1\n")
        recipe.write_text(text[:text.index("  - name: topic")])
        level = self.run_of("level", **quiet)
        level.recipe = recipe
        self.assert_exit(level.go("--phase", "shallow", ranks=None), DONE)
        self.assert_exit(level.go("--phase", "deep", ranks=None), DONE)
        self.assertEqual(grown.steps("deep")[0][1], level.steps("deep")[0][1])
        self.assertNotEqual(grown.steps("deep")[-1][1], level.steps("deep")[-1][1])

    def test_two_data_parallel_ranks_give_the_same_to_the_last_bit(self):
        run = self.run_of("two")
        self.assert_exit(run.go(ranks=2), DONE)
        self.assert_same_steps(run)

    def assert_same_steps(self, run):
        for phase in PHASES:
            self.assertEqual(run.steps(phase), self.straight.steps(phase), phase)

    def test_tensor_parallel_ranks_stay_within_rounding(self):
        run = self.run_of("split", **{"parallel.tensor": 2})
        self.assert_exit(run.go(ranks=2), DONE)
        for phase in PHASES:
            for mine, straight in zip(run.steps(phase), self.straight.steps(phase)):
                self.assertAlmostEqual(mine[1], straight[1], delta=2e-4 * straight[1], msg=phase)

    def test_killed_run_goes_on_with_the_same_losses_on_another_layout(self):
        run = self.run_of("killed", **{"checkpoint.every_steps": 2})
        ranks = (2, None)
        for number, (phase, step) in enumerate((("shallow", 5), ("deep", 3), ("deep", 9), ("student", 3),
                                                ("student", 8), ("adapted", 5), ("after", 3))):
            job = run.start(ranks=ranks[number % 2])
            self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= step), phase)
            job.kill()
            self.assertNotEqual(job.wait().code, DONE)
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_steps(run)
        for phase in PHASES:
            self.assertEqual(run.digests(phase), self.straight.digests(phase), phase)
        self.assertEqual([p["metrics"] for p in run.status()["phases"]],
                         [p["metrics"] for p in self.straight.status()["phases"]])

    def test_student_knows_its_teacher(self):
        teacher = self.manifest(self.straight, "student")["state"]["lineage"]["teacher"]
        self.assertEqual((teacher["run"], teacher["phase"], teacher["step"]), ("grown", "topic", 12))
        self.assertRegex(teacher["digest"], r"^[0-9a-f]{32}$")
        steps = [r for r in self.straight.metrics("student") if r["kind"] == "step"]
        self.assertEqual(set(steps[0]["losses"]), {"classification", "hidden"})
        self.assertEqual({m for r in self.straight.metrics("student") if r["kind"] == "evaluation"
                          for m in r["metrics"]}, {"loss", "accuracy", "f1", "matthews"})

    def test_student_is_refused_another_teacher(self):
        other = GrowthRun(self.straight.copy_to(self.scratch / "other").path, self.texts)
        shutil.rmtree(other.phase_folder("after"))
        # A finished phase is left alone, so the student has to be taken up again.
        for checkpoint in other.checkpoints("student")[1:]:
            shutil.rmtree(checkpoint)
        status = json.loads((other.path / "status.json").read_text())
        for phase in status["phases"]:
            if phase["name"] in ("student", "after"):
                phase["state"] = "interrupted"
        (other.path / "status.json").write_text(json.dumps(status))
        donor = self.run_of("donor", **{"phases.topic.optimizer.learning_rate": "2e-3"})
        for phase in ("shallow", "deep", "topic"):
            self.assert_exit(donor.go("--phase", phase, ranks=None), DONE)
        shutil.rmtree(other.phase_folder("topic") / "checkpoints")
        shutil.copytree(donor.phase_folder("topic") / "checkpoints", other.phase_folder("topic") / "checkpoints")
        outcome = other.go("--phase", "student", ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "this phase has learnt from the teacher topic")

    def test_a_trained_phase_is_used_with_its_own_depth(self):
        for phase, metric in (("student", "accuracy"), ("adapted", "f1"), ("after", "f1"), ("shallow", "mlm_accuracy")):
            for ranks in (None, 2):
                part = "valid"
                outcome = polyphase("evaluate", self.straight.path, "--phase", phase, "--part", part,
                                    "--format", "json", ranks=ranks)
                self.assert_exit(outcome, DONE)
                recorded = {p["name"]: p["metrics"] for p in self.straight.status()["phases"]}[phase]
                if phase != "shallow":  # whose evaluations see a part of the validation part
                    self.assertEqual(json.loads(outcome.out)["metrics"][metric], recorded[f"valid.{metric}"])
        outcome = polyphase("predict", self.straight.path, "--phase", "student", text="the old cat sees a big dog .\n")
        self.assert_exit(outcome, DONE)
        self.assertIn(outcome.out.split("\t")[0].strip(), ("animal", "person", "thing"))

    def test_outputs_of_a_teacher_are_kept_once(self):
        # The phase `tags` knows classes here, and teaches them.
        values = {"phases.tags.task": "{kind: classification}", "phases.tags.data": "{topics: 1.0}",
                  "phases.topic.from": "pretrain", "model.dropout": 0, "checkpoint.every_steps": 2}
        taught = {**values, "phases.topic.distil": "{teacher: tags, weight: 0.8, kept: true}"}
        along = self.new_run("along", **{**values, "phases.topic.distil": "{teacher: tags, weight: 0.8}"})
        self.assert_exit(along.go(ranks=None), DONE)
        kept, two = self.new_run("kept", **taught), self.new_run("kept-two", **taught)
        outcome = kept.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "topic: learns from tags too", "samples of topics is kept in")
        for mine, theirs in zip(kept.steps("topic"), along.steps("topic"), strict=True):
            self.assertAlmostEqual(mine[1], theirs[1], delta=1e-4 * theirs[1])
        # Tensor-parallel ranks ask by themselves, and train the phase anew.
        split = kept.copy_to(self.scratch / "kept-split")
        shutil.rmtree(split.phase_folder("topic"))
        (split.path / "status.json").unlink()
        outcome = split.go(ranks=2, **{"parallel.tensor": 2})
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "topic: learns from tags too", "samples of topics is kept in")
        for mine, theirs in zip(split.steps("topic"), kept.steps("topic"), strict=True):
            self.assertAlmostEqual(mine[1], theirs[1], delta=1e-4 * theirs[1])
        job = two.start(ranks=2, **{"parallel.pipeline": 2})  # stages can ask, and data-parallel ranks go on
        self.assertTrue(job.freeze_when(lambda: len(two.steps("topic")) >= 5))
        job.kill()
        job.wait()
        [table] = (two.path / "data" / "teacher-outputs").glob("topics-*.h5")
        sound = table.read_bytes()
        table.write_bytes(sound[:-40] + bytes(4) + sound[-36:])
        outcome = two.go(ranks=2)
        self.assert_exit(outcome, DATA)
        self.assert_says(outcome, f"{table}: the outputs are not those", "remove the file, and the teacher is asked again")
        table.write_bytes(sound)
        outcome = two.go(ranks=2)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "samples of topics is read in")
        self.assertNotIn("learns from tags too", outcome.text)
        self.assert_same_road(two, kept)

    def test_plan_counts_each_phase_and_its_teacher(self):
        outcome = polyphase("plan", GrowthRun.recipe)
        self.assert_exit(outcome, DONE)
        rows = {line.split()[0]: line.split() for line in outcome.out.splitlines()[3:]}
        self.assertLess(int(rows["shallow"][1]), int(rows["deep"][1]))
        self.assertLess(int(rows["student"][1]), int(rows["topic"][1]))
        self.assertEqual([name for name in PHASES if rows[name][-3] != "none"], ["student"])

    def test_patterns_that_adapt_nothing_are_refused(self):
        run = self.run_of("nothing", **{"phases.adapted.lora.match": "[\"*.norm.*\", \"head.*\"]"})
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phases.adapted.lora.match: \"*.norm.*\" matches no weight of a product",
                         "phases.adapted.lora.match: \"head.*\" matches no weight of a product")
        self.assertFalse(run.path.exists())

    def test_student_waits_for_its_teacher(self):
        run = self.run_of("alone", **{"phases.student.from": "deep"})
        for phase in ("shallow", "deep"):
            self.assert_exit(run.go("--phase", phase, ranks=None), DONE)
        outcome = run.go("--phase", "student", ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phase student learns from topic, which is pending; run phase topic first")


if __name__ == "__main__":
    unittest.main()
