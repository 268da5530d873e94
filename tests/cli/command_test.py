# SPDX-License-Identifier: Apache-2.0
"""Commands and options do what README and docs say, and refuse what they cannot do."""
import json
import os
import shutil
import signal
import unittest
from pathlib import Path

from job import (DATA, DONE, INTERRUPTED, RECIPE, SYSTEM, USAGE, RoadTest, polyphase, settings)


class CommandTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.finished = cls.new_run(cls, "finished")
        outcome = cls.finished.go()
        assert outcome.code == DONE, outcome

    def files_of(self, run):
        return {path: path.read_bytes() for path in run.path.rglob("*")
                if path.is_file() and path.name not in ("status.json", "report.html")}

    def test_finished_run_is_left_as_it_is(self):
        before = self.files_of(self.finished)
        for ranks in (None, 2):
            outcome = self.finished.go(ranks=ranks)
            self.assert_exit(outcome, DONE)
            self.assert_says(outcome, "pretrain: done before", "topic: done before")
            self.assertEqual(self.files_of(self.finished), before)

    def test_a_run_that_knew_fewer_keys_goes_on(self):
        """As an earlier version left it: a key that came later is not there, and has its default."""
        run = self.finished.copy_to(self.scratch / "of-an-earlier-version")
        stored = run.path / "recipe.yaml"
        text = stored.read_text()
        self.assertIn("  matches: false\n", text)
        stored.write_text(text.replace("  matches: false\n", ""))
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertIn("  matches: false\n", stored.read_text())
        stored.write_text(text.replace("  matches: false\n", "  matches: true\n"))
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "model.matches: true → false")

    def test_changed_recipe_is_refused_with_the_changes(self):
        before = self.files_of(self.finished)
        outcome = self.finished.go(**{"seed": 9, "phases.tags.stop.steps": 5})
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "seed: 3 → 9", "phases.tags.stop.steps: 12 → 5", "run_dir")
        self.assertEqual(self.files_of(self.finished), before)

    def test_second_job_on_a_run_folder_is_refused_and_the_first_unharmed(self):
        run = self.new_run("twice")
        first = run.start()
        self.assertTrue(first.freeze_when(lambda: len(run.steps("pretrain")) >= 5))
        second = run.go(ranks=None)
        self.assert_exit(second, SYSTEM)
        holder = json.loads((run.path / "run.lock").read_text())
        self.assertIn(holder["pid"], first.ranks())
        self.assert_says(second, holder["host"], holder["pid"], run.path / "run.lock")
        first.signal_ranks(signal.SIGCONT)
        self.assert_exit(first.wait(), DONE)
        self.assert_same_road(run, self.finished)

    def test_one_phase_alone(self):
        run = self.new_run("alone")
        early = run.go("--phase", "topic")
        self.assert_exit(early, USAGE)
        self.assert_says(early, "phase topic starts from tags, which is pending; run phase tags first")
        self.assert_exit(run.go("--phase", "pretrain"), DONE)
        self.assertEqual(run.states(), {"pretrain": "done", "tags": "pending", "topic": "pending"})
        unknown = run.go("--phase", "topics")
        self.assert_exit(unknown, USAGE)
        self.assert_says(unknown, "pretrain, tags, topic")
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.finished)

    def test_settings_replace_values_of_the_recipe(self):
        run = self.new_run("set", **{"phases.pretrain.stop.steps": 60,
                                     "checkpoint.every_steps": 10, "checkpoint.keep": 4})
        self.assert_exit(run.go("--phase", "pretrain"), DONE)
        self.assertEqual(len(run.steps("pretrain")), 60)
        self.assertEqual([c.name for c in run.checkpoints("pretrain")],
                         [f"step-{step:06d}" for step in (30, 40, 50, 60)])

    def test_bf16_without_instructions_for_it_is_warned_of(self):
        cpu = Path("/proc/cpuinfo").read_text()
        outcome = self.new_run("bf16", precision="bf16").go("--phase", "pretrain")
        self.assert_exit(outcome, DONE)
        self.assertEqual("precision: f32 is faster here" in outcome.text, "avx512_bf16" not in cpu)
        self.assertNotIn("is faster here", self.finished.go().text)

    def test_status_and_report_of_an_interrupted_run(self):
        run = self.new_run("interrupted")
        job = run.start()
        self.assertTrue(job.freeze_when(lambda: len(run.steps("tags")) >= 3))
        os.kill(job.process.pid, signal.SIGUSR1)
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), INTERRUPTED)
        for ranks in (None, 2):
            status = polyphase("status", run.path, ranks=ranks)
            self.assert_exit(status, DONE)
            self.assertEqual(status.out.count("1 of 3 phases done"), 1, status)
            self.assert_says(status, "interrupted", "pending")
        (run.path / "report.html").unlink()
        report = polyphase("report", run.path)
        self.assert_exit(report, DONE)
        self.assertIn("interrupted", (run.path / "report.html").read_text())

    def test_status_is_made_anew_when_it_is_lost(self):
        run = self.finished.copy_to(self.scratch / "lost")
        for text in (None, "{"):
            (run.path / "status.json").unlink()
            if text is not None:
                (run.path / "status.json").write_text(text)
            self.assert_exit(run.go(), DONE)
            self.assert_same_road(run, self.finished)
            self.assertEqual([p["metrics"] for p in run.status()["phases"]],
                             [p["metrics"] for p in self.finished.status()["phases"]])

    def test_plan_shows_every_phase_and_needs_no_texts(self):
        for arguments, ranks in ((("--ranks", 4, "--tensor", 2), None), ((), 2)):
            outcome = polyphase("plan", RECIPE, *arguments, ranks=ranks)
            self.assert_exit(outcome, DONE)
            for phase in self.PHASES:
                self.assertEqual(outcome.out.count(phase), 1, outcome)
            self.assert_says(outcome, "MiB")
        # Classes and words are those of texts, which need not be there.
        more = {"phases.topic.task": "{kind: classification, class_weights: {a: 2.5}}",
                "phases.pretrain.whole_words": "true"}
        self.assert_exit(polyphase("plan", RECIPE, *settings(more)), DONE)
        for arguments in (("--ranks", 3, "--tensor", 2), ("--ranks", 0)):
            self.assert_exit(polyphase("plan", RECIPE, *arguments), USAGE)

    def test_wrong_commands_are_explained(self):
        for arguments, words in ((("insepct", "x"), 'did you mean "inspect"?'),
                                 ((), "no command given"),
                                 (("run",), "recipe is required"),
                                 (("run", "no.yaml"), "no.yaml: no such recipe file"),
                                 (("run", RECIPE, "--set", "seed"), "expected key.path=value"),
                                 (("run", RECIPE, "--set", "sead=1"), 'did you mean "seed"?'),
                                 (("inspect", self.scratch), "neither a checkpoint")):
            outcome = polyphase(*arguments)
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, words)
        for arguments in (("status", self.scratch), ("report", self.scratch / "none"),
                          ("verify", self.scratch)):
            self.assert_exit(polyphase(*arguments), DATA)

    def test_layouts_that_do_not_fit_are_refused_before_anything_is_made(self):
        for ranks, values, words in ((3, {}, "3 data-parallel ranks"),
                                     (2, {"parallel.tensor": 3}, "parallel.tensor"),):
            run = self.new_run("misfit", **values)
            outcome = run.go(ranks=ranks)
            self.assert_exit(outcome, USAGE)
            self.assert_says(outcome, words)
            self.assertFalse(run.path.exists())

    def test_three_ranks_train_where_the_batch_divides(self):
        run = self.new_run("three", **{f"phases.{phase}.batch.sequences": 12
                                       for phase in self.PHASES})
        self.assert_exit(run.go(ranks=3), DONE)
        alone = self.new_run("three-alone", **run.values | {"run_dir": self.scratch / "three-alone"})
        self.assert_exit(alone.go(ranks=None), DONE)
        for phase in self.PHASES:
            for (step, loss, *_), (_, expected, *_) in zip(run.steps(phase), alone.steps(phase)):
                self.assertLessEqual(abs(loss - expected), 1e-4 * expected, f"{phase} {step}")

    def test_relative_paths_and_blanks_work_from_any_folder(self):
        here = self.scratch / "some where"
        here.mkdir()
        shutil.copytree(self.texts, here / "my texts")
        shutil.copy(RECIPE, here / "my texts" / "my recipe.yaml")
        arguments = ["run", "my texts/my recipe.yaml", "--phase", "pretrain",
                     *settings({"run_dir": "my runs/first one"})]
        self.assert_exit(polyphase(*arguments, ranks=2, cwd=here), DONE)
        run = self.new_run(here / "my runs" / "first one")
        self.assert_same_road(run, self.finished, ["pretrain"])
        # The same run from elsewhere, by whole paths.
        arguments = ["run", here / "my texts" / "my recipe.yaml", *settings({"run_dir": run.path})]
        self.assert_exit(polyphase(*arguments, cwd="/"), DONE)
        self.assert_same_road(run, self.finished, ["pretrain"])
        self.assertEqual(run.steps("topic"), self.finished.steps("topic"))

    def test_shortest_sequences_train(self):
        run = self.new_run("short", **{"model.max_tokens": 8})
        outcome = run.go()
        self.assert_exit(outcome, DONE)
        # No sentence fits, and running text is cut as a matter of course.
        for phase in ("tags", "topic"):
            samples = run.steps(phase)[-1][0] * 16
            self.assert_says(outcome, f"{phase}: {samples} of {samples} training samples did not fit "
                                      "into max_tokens (8) and were cut")
        self.assertNotIn("warning: pretrain", outcome.text)
        texts = self.scratch / "short texts"
        shutil.copytree(self.texts, texts)
        for part in ("train", "valid", "test"):  # sequences of one word
            (texts / f"topics-{part}.tsv").write_text("a\tx\nthe\ty\n" * 8)
            (texts / f"tags-{part}.conll").write_text("a\tO\n\nthe\tB-x\n\n" * 8)
        run = self.new_run("words", **{"folder": texts})
        self.assert_exit(run.go(), DONE)


if __name__ == "__main__":
    unittest.main()
