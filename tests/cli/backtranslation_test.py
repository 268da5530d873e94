# SPDX-License-Identifier: Apache-2.0
"""A corpus that a phase makes by back-translation: on one rank and on two, killed, stopped, and trained on."""
import json
import random
import re
import shutil
import signal
import unittest

from job import DATA, DONE, INTERRUPTED, TARGET_NOT_MET, USAGE, RoadTest, Run, polyphase, sentence, settings

RECIPE = """
name: back
seed: 5
tokenizer: {kind: word, vocab_size: 80, corpora: [captions, reversed]}
corpora:
  captions: {kind: generation, train: [pairs.en, pairs.de], valid: [valid.en, valid.de]}
  reversed: {kind: generation, train: [pairs.de, pairs.en]}
  german:   {kind: text, files: [mono.de], valid_fraction: 0}
  back:     {kind: generation, made_by: back-translate}
model: {family: t5, num_layers: 1, width: 32, num_heads: 2, max_tokens: 24, dropout: 0}
phases:
  - {name: de-en, task: {kind: generation}, data: {reversed: 1.0}, batch: {sequences: 16, micro_batch: 4},
     optimizer: {learning_rate: 1e-2}, stop: {steps: 150}}
  - {name: back-translate, from: de-en, generate: {of: german, temperature: 1.0, top_k: 5, max_new_tokens: 12}}
  - {name: en-de, task: {kind: generation}, data: {captions: 1.0, back: 1.0},
     batch: {sequences: 16, micro_batch: 4}, stop: {steps: 6}}
"""
NUM_TEXTS = 805  # not a multiple of what goes through the model together
TOGETHER = 16


def other_language(words):
    """Every word has one of its own in the other language."""
    return " ".join(word[::-1] for word in words)


def write_languages(folder):
    draw = random.Random(3)
    for name, size in (("pairs", 300), ("valid", 20), ("mono", NUM_TEXTS)):
        made = [sentence(draw)[0] for _ in range(size)]
        (folder / f"{name}.en").write_text("".join(" ".join(words) + "\n" for words in made))
        (folder / f"{name}.de").write_text("".join(other_language(words) + "\n" for words in made))
    (folder / "back.yaml").write_text(RECIPE)


class BackRun(Run):
    def arguments(self, *more, **values):
        return ["run", self.values["folder"] / "back.yaml", *settings({**self.values, **values}), *more]

    def file(self, name):
        return self.phase_folder("back-translate") / name

    def pairs(self):
        return self.file("pairs.jsonl").read_bytes() if self.file("pairs.jsonl").exists() else b""

    def made(self):
        return json.loads(self.file("made.json").read_text())

    def copy_to(self, path):
        shutil.copytree(self.path, path, symlinks=True)
        return BackRun(path, self.values["folder"])


class BackTranslationTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_languages(cls.texts)
        cls.base = BackRun(cls.scratch / "base", cls.texts)  # up to the model that translates back
        outcome = cls.base.go("--phase", "de-en", ranks=None)
        assert outcome.code == DONE, outcome
        cls.straight = cls.base.copy_to(cls.scratch / "straight")
        cls.outcome = cls.straight.go(ranks=None)
        assert cls.outcome.code == DONE, cls.outcome

    def begun(self, name):
        return self.base.copy_to(self.scratch / name)

    def assert_same_corpus(self, run):
        self.assertEqual(run.pairs(), self.straight.pairs())
        self.assertEqual(run.made(), self.straight.made())

    def stopped_midway(self, run, how, ranks=2):
        """A job that is stopped by a signal when it has written some texts, and those."""
        job = run.start(ranks=ranks, grace_seconds=20)
        self.assertTrue(job.freeze_when(lambda: run.pairs().count(b"\n") >= 192), "too fast")
        written = run.pairs()
        self.assertLess(written.count(b"\n"), NUM_TEXTS)
        if how == signal.SIGKILL:
            job.kill()
        else:
            job.signal_ranks(how)
            job.signal_ranks(signal.SIGCONT)
        return job.wait(), written

    # --- what is made

    def test_every_text_has_its_translation_in_order(self):
        pairs = [json.loads(line) for line in self.straight.pairs().splitlines()]
        self.assertEqual([pair["target"] for pair in pairs],
                         (self.texts / "mono.de").read_text().splitlines())
        right = [word == true for pair, line in
                 zip(pairs, (self.texts / "mono.en").read_text().splitlines(), strict=True)
                 for word, true in zip(pair["source"].split(), line.split())]
        self.assertGreater(sum(right) / len(right), 0.5)
        made = self.straight.made()
        self.assertEqual(made["generation"]["texts"], NUM_TEXTS)
        self.assertEqual(made["generation"]["empty"],
                         sum(not pair["source"].strip() for pair in pairs))

    def test_the_last_phase_trains_on_the_mixture(self):
        self.assertEqual(self.straight.states(), dict.fromkeys(
            ("de-en", "back-translate", "en-de"), "done"))
        told = re.search(r"en-de: (\d+) of (\d+) samples are of back \((\d+) of its (\d+)\), (\d+) of \d+ "
                         r"samples are of captions", self.outcome.text)
        self.assertTrue(told, self.outcome)
        self.assertEqual(int(told[1]), int(told[5]))
        num_pairs = NUM_TEXTS - self.straight.made()["generation"]["empty"]
        self.assertEqual(int(told[4]), num_pairs)
        state = {phase["name"]: phase for phase in self.straight.status()["phases"]}["back-translate"]
        self.assertEqual((state["samples"], state["step"], state["total_steps"]),
                         (NUM_TEXTS, 51, 51))
        self.assertGreater(state["tokens"], NUM_TEXTS)

    def test_provenance_goes_with_the_corpus_and_with_what_was_trained_on_it(self):
        made = self.straight.made()
        checkpoint = json.loads(
            (self.straight.checkpoints("de-en")[-1] / "manifest.json").read_text())
        self.assertEqual((made["from"]["phase"], made["from"]["step"]), ("de-en", 150))
        self.assertEqual(made["generation"]["temperature"], 1)
        self.assertEqual(set(made["data"]["corpora"]), {"german"})
        index = json.loads((self.straight.path / "data" / "back" / "corpus.json").read_text())
        self.assertIn(made["digest"], json.dumps(index["content"] if "content" in index else index))
        lineage = json.loads((self.straight.checkpoints("en-de")[-1] / "manifest.json")
                             .read_text())["state"]["lineage"]
        self.assertEqual(lineage["data"]["made"]["back"], made)
        self.assertEqual(made["from"]["data"]["tokenizer"],
                         checkpoint["state"]["data"]["tokenizer"])
        first = self.straight.metrics("en-de")[0]
        self.assertEqual(first["lineage"]["data"]["made"]["back"], made)
        words = ("made by back-translate, of run back, text " + made["digest"][:12],
                 "from de-en, step 150, of run back, checkpoint " + made["from"]["digest"][:12],
                 "temperature 1.0", f"texts {NUM_TEXTS}")
        self.assert_says(polyphase("inspect", self.straight.path / "data" / "back"), *words)
        self.assert_says(polyphase("inspect", self.straight.checkpoints("en-de")[-1]), *words)
        self.assert_exit(polyphase("verify", self.straight.path / "data" / "back"), DONE)

    # --- the same, whatever happens

    def test_two_and_three_ranks_make_the_same_bytes(self):
        run = self.begun("two")
        self.assert_exit(run.go(ranks=2), DONE)
        self.assert_same_corpus(run)
        self.assert_same_road(run, self.straight, ("de-en", "en-de"))
        run = self.begun("three")
        self.assert_exit(run.go("--phase", "back-translate", ranks=3), DONE)
        self.assert_same_corpus(run)

    def test_a_killed_job_goes_on_behind_what_it_wrote(self):
        run = self.begun("killed")
        outcome, written = self.stopped_midway(run, signal.SIGKILL)
        self.assertNotEqual(outcome.code, DONE)
        run.file("pairs.jsonl").write_bytes(written[:-9])  # as if torn in the middle of a line
        steps = run.metrics("back-translate")
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, DONE)
        kept = (written.count(b"\n") - 1) // TOGETHER * TOGETHER
        self.assert_says(outcome, f"going on from text {kept} of {NUM_TEXTS}")
        self.assert_same_corpus(run)
        self.assertEqual(run.metrics("back-translate")[:2], steps[:2])  # not made again
        self.assertEqual(run.digests("en-de"), self.straight.digests("en-de"))

    def test_a_signal_stops_it_and_the_same_command_goes_on(self):
        run = self.begun("stopped")
        outcome, _ = self.stopped_midway(run, signal.SIGTERM, ranks=None)
        self.assert_exit(outcome, INTERRUPTED)
        self.assertEqual(run.states()["back-translate"], "interrupted")
        self.assertNotIn("digest", run.made())
        status = polyphase("status", run.path)
        self.assert_says(status, "back-translate: interrupted at step", "of 51")
        done = run.pairs()
        self.assert_exit(run.go(ranks=2), DONE)
        self.assertTrue(run.pairs().startswith(done))
        self.assert_same_corpus(run)

    def test_other_texts_are_refused_in_mid_corpus(self):
        run = self.begun("changed")
        self.stopped_midway(run, signal.SIGKILL, ranks=None)
        texts = self.scratch / "other-texts"
        shutil.copytree(self.texts, texts)
        (texts / "mono.de").write_text((self.texts / "mono.en").read_text())
        outcome = run.go(ranks=None, folder=texts)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "began to make its corpus of something else", "remove the folder")
        shutil.rmtree(run.phase_folder("back-translate"))
        self.assert_exit(run.go("--phase", "back-translate", ranks=None, folder=texts), DONE)
        self.assertNotEqual(run.pairs(), self.straight.pairs())

    def test_a_corpus_that_is_gone_is_made_again_and_one_that_was_altered_refused(self):
        run = self.begun("gone")
        outcome = run.go("--phase", "en-de", ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "phase en-de trains on the corpus of back-translate, which is "
                                  "pending; run phase back-translate first")
        self.assert_exit(run.go("--phase", "back-translate", ranks=None), DONE)
        self.assert_same_corpus(run)
        run.file("pairs.jsonl").write_bytes(run.pairs().replace(b"eht", b"eth", 1))
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, DATA)
        self.assert_says(outcome, "pairs.jsonl: its digest is", "bring it back, or remove the folder")
        run.file("pairs.jsonl").unlink()
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_corpus(run)
        self.assertEqual(run.digests("en-de"), self.straight.digests("en-de"))

    def test_a_finished_run_is_left_as_it_is(self):
        before = self.straight.file("made.json").stat().st_mtime_ns
        outcome = self.straight.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "back-translate: done before")
        self.assertEqual(self.straight.file("made.json").stat().st_mtime_ns, before)

    def test_a_round_makes_its_own_corpus(self):
        recipe = self.texts / "rounds.yaml"
        recipe.write_text(RECIPE + """
iterate:
  target: {phase: en-de, metric: valid.loss, at_most: 0.01}
  max_rounds: 2
  confidence: 0
  strategies: [{name: narrower, set: {phases.back-translate.generate.top_k: 2}}]
""")
        folder = self.scratch / "rounds"
        arguments = ["run", recipe, *settings({"run_dir": folder})]
        self.assert_exit(polyphase(*arguments), TARGET_NOT_MET)
        self.assertEqual(sorted(path.name for path in folder.glob("round-2/*")),
                         ["02-back-translate", "03-en-de", "recipe.yaml"])
        first, second = [(folder / f"round-{number}" / "02-back-translate" / "pairs.jsonl").read_bytes()
                         for number in (1, 2)]
        self.assertEqual(first, self.straight.pairs())
        self.assertEqual(first.count(b"\n"), second.count(b"\n"))
        self.assertNotEqual(first, second)
        checkpoint = sorted(folder.glob("round-2/03-en-de/checkpoints/step-*"))[-1]
        made = json.loads((checkpoint / "manifest.json").read_text())["state"]["lineage"]["data"]["made"]
        self.assertEqual((made["back"]["round"], made["back"]["generation"]["top_k"]), (2, 2))
        for number in (1, 2):
            self.assert_exit(polyphase("evaluate", folder, "--phase", "en-de", "--round", number), DONE)
        self.assert_says(polyphase(*arguments), "rounds: ")

    # --- the other commands

    def test_other_commands_know_such_a_phase(self):
        recipe = [self.texts / "back.yaml",
                  *settings({"folder": self.texts, "run_dir": self.scratch / "none"})]
        plan = polyphase("plan", *recipe, "--ranks", 3,
                         *settings({"phases.de-en.batch": "{sequences: 12, micro_batch: 4}",
                                    "phases.en-de.batch": "{sequences: 12, micro_batch: 4}"}))
        self.assert_exit(plan, DONE)
        rows = {line.split()[0]: line.split() for line in plan.out.splitlines()[1:]}
        self.assertEqual(rows["back-translate"][1], rows["de-en"][1])  # parameters
        self.assertEqual(rows["back-translate"][2], "none")            # micro-batches
        submit = polyphase("submit", *recipe, "--dry-run")
        self.assert_exit(submit, DONE)
        self.assert_says(submit, "--phase back-translate")
        self.assert_says(polyphase("status", self.straight.path), "generate")
        self.assertIn("back made by back-translate", (self.straight.path / "report.html").read_text())
        self.assert_exit(polyphase("generate", self.straight.path, "--prompt", "the old cat"), DONE)
        outcome = polyphase("generate", self.straight.path, "--phase", "back-translate",
                            "--prompt", "the old cat")
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "makes a corpus and has no model; name de-en")


if __name__ == "__main__":
    unittest.main(verbosity=2)
