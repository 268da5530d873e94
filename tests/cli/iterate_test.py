# SPDX-License-Identifier: Apache-2.0
"""Rounds that change a recipe: decisions, what is trained anew, what is reused, and kill -9 anywhere."""
import json
import re
import signal
import unittest

from job import DONE, RECIPE, TARGET_NOT_MET, USAGE, RoadTest, Run, polyphase, read_lines, settings
from mixture_test import MORE, write_more

# The first strategy can only hurt, the second does nothing that helps surely, the third reaches the target.
ITERATE = """
iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 0.95}
  margin: 0.05
  strategies:
    - {name: frozen, set: {phases.topic.optimizer.learning_rate: 1e-9}}
    - {name: never, when: valid.accuracy > 2 or diverged, set: {phases.topic.dropout: 0.5}}
    - {name: faster, when: topic.underfitting or valid.accuracy < 0.95,
       set: {phases.topic.optimizer.learning_rate: 3e-3, phases.topic.stop.steps: 150, phases.topic.dropout: 0,
             phases.topic.attention_dropout: 0}}
    - {name: needless, set: {seed: 4}}
"""
SEARCH = """
iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 1.0}
  max_rounds: 9
  strategies:
    - name: rate
      search: {values: {phases.topic.optimizer.learning_rate: [1e-9, 3e-3, 3e-4]}, rungs: 2, keep_one_in: 3}
"""
QUICK = {"phases.pretrain.stop.steps": 6, "phases.tags.stop.steps": 4, "checkpoint.every_steps": 2}


class RoundsRun(Run):
    """A run of the small recipe with rounds."""

    def __init__(self, path, texts, recipe, **values):
        super().__init__(path, texts, **{**QUICK, **values})
        self.recipe = recipe

    def arguments(self, *more, **values):
        return ["run", self.recipe, *settings({**self.values, **values}), *more]

    def decisions(self):
        return json.loads((self.path / "decisions.json").read_text())

    def rounds(self):
        return self.status()["iterate"]["rounds"]

    def states_of_rounds(self):
        return [round["state"] for round in self.rounds()]

    def steps_in(self, folder):
        return [(r["step"], r["loss"]) for r in read_lines(self.path / folder / "metrics.jsonl")
                if r["kind"] == "step"]

    def has(self, pattern):
        return any(self.path.glob(pattern))


class IterateTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recipe = cls.texts / "rounds.yaml"
        cls.recipe.write_text(RECIPE.read_text() + ITERATE)
        gate = "    task: {kind: tagging}\n"
        cls.gated = cls.texts / "gated.yaml"
        cls.gated.write_text((RECIPE.read_text() + ITERATE).replace(gate, "    gate: {}\n" + gate))
        cls.straight = cls.new_rounds(cls, "straight")
        outcome = cls.straight.go(ranks=None)
        assert outcome.code == DONE, outcome
        cls.first_outcome = outcome

    def new_rounds(self, name, recipe=None, **values):
        return RoundsRun(self.scratch / name, self.texts, recipe or self.recipe, **values)

    def assert_same_rounds(self, run):
        self.assertEqual(run.decisions(), self.straight.decisions())
        for phase in self.straight.status()["phases"]:
            self.assertEqual(run.steps_in(phase["folder"]),
                             self.straight.steps_in(phase["folder"]), phase["folder"])

    def test_rounds_go_on_until_the_target_holds(self):
        rounds = self.straight.rounds()
        self.assertEqual([r["adds"] for r in rounds], ["the recipe as it is", "frozen", "faster"])
        self.assertEqual(self.straight.states_of_rounds(), ["kept", "rejected", "kept"])
        self.assertEqual([r["parent"] for r in rounds], [0, 1, 1])
        status = self.straight.status()["iterate"]
        self.assertEqual(status["best"], 3)
        self.assertIn("the target holds", status["ended"])
        self.assertGreaterEqual(rounds[2]["score"], 0.95)
        self.assert_says(self.first_outcome, "target: valid.accuracy of topic at least 0.95",
                         "round 2: rejected", "round 3: kept", "ended: the target holds")

    def test_score_is_the_phases_own_metric(self):
        phases = {p["folder"]: p for p in self.straight.status()["phases"]}
        for round in self.straight.rounds():
            metrics = phases[round["folders"]["topic"]]["metrics"]
            self.assertAlmostEqual(round["score"], metrics["valid.accuracy"], places=9)

    def lineage_in(self, run, folder):
        checkpoint = sorted((run.path / folder / "checkpoints").glob("step-??????"))[-1]
        return json.loads((checkpoint / "manifest.json").read_text())["state"]["lineage"]

    def test_checkpoints_tell_what_rounds_changed(self):
        lineage = self.lineage_in(self.straight, "round-3/03-topic")
        self.assertEqual(lineage["round"], 3)
        self.assertEqual(lineage["changes"], self.straight.decisions()["rounds"][2]["changes"])
        self.assertTrue(lineage["changes"])
        tags = lineage["from"]
        self.assertEqual((tags["phase"], tags["round"], tags["changes"]), ("tags", 1, []))
        self.assertEqual((tags["from"]["phase"], tags["from"]["step"]), ("pretrain", 6))

    def test_another_run_takes_the_best_round(self):
        recipe = self.texts / "again.yaml"
        text = RECIPE.read_text()
        text = re.sub("tokenizer: .*", "", text[:text.index("  - name: pretrain")].replace("name: tiny", "name: again"))
        recipe.write_text(text + "  - {name: again, from: {run: ../straight}, task: {kind: classification}, "
                          "data: {topics: 1.0}, stop: {steps: 2}}\n")
        run = Run(self.scratch / "again", self.texts)
        run.arguments = lambda *more, **values: ["run", recipe, *settings({**run.values, **values}), *more]
        self.assert_exit(run.go(ranks=None), DONE)
        parent = self.lineage_in(run, "round-1/01-again")["from"]
        self.assertEqual((parent["phase"], parent["round"]), ("topic", 3))

    def test_only_what_a_change_touches_is_trained(self):
        for round in self.straight.rounds()[1:]:
            number = round["round"]
            self.assertEqual(round["folders"], {"pretrain": "round-1/01-pretrain",
                                                "tags": "round-1/02-tags",
                                                "topic": f"round-{number}/03-topic"})
            made = sorted(p.name for p in (self.straight.path / f"round-{number}").iterdir())
            self.assertEqual(made, ["03-topic", "recipe.yaml"])
        topic = self.straight.status()["phases"][-1]
        self.assertEqual(topic["from_folder"], "round-1/02-tags")

    def test_decisions_hold_the_numbers(self):
        rounds = self.straight.decisions()["rounds"]
        never, faster = rounds[2]["considered"]  # "frozen" was tried before
        self.assertFalse(never["holds"])
        self.assertTrue(faster["holds"])
        self.assertIn("train.loss", never["numbers"])
        self.assertIn("topic.valid.gap", faster["numbers"])
        test = rounds[2]["verdict"]["test"]
        self.assertEqual(test["samples"], 40)
        self.assertGreaterEqual(test["share_better"], 0.9)

    def test_finished_run_is_left_as_it_is(self):
        before = (self.straight.path / "decisions.json").read_bytes()
        outcome = self.straight.go(ranks=None)
        self.assert_exit(outcome, DONE)
        self.assertEqual((self.straight.path / "decisions.json").read_bytes(), before)
        self.assertNotIn("going on from", outcome.text)

    def test_killed_run_makes_the_same_decisions(self):
        run = self.new_rounds("killed")
        moments = [
            lambda: run.has("round-1/recipe.yaml"),
            lambda: run.has("round-1/02-tags/metrics.jsonl"),
            lambda: run.has("round-1/03-topic/valid-samples.jsonl*"),
            lambda: run.has("round-2"),
            lambda: run.has("round-2/03-topic/metrics.jsonl"),
            lambda: run.has("round-2/03-topic/valid-samples.jsonl"),
            lambda: run.has("round-3/recipe.yaml"),
            lambda: len(run.steps_in("round-3/03-topic")) >= 31,
            lambda: run.has("round-3/03-topic/valid-samples.jsonl"),
        ]
        killed = 0
        for moment in moments:
            job = run.start(ranks=None)
            if job.freeze_when(moment):
                killed += 1
            job.kill()
            job.wait()
        self.assertGreaterEqual(killed, len(moments) - 2, "too few of the moments were met")
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_rounds(run)

    def test_two_ranks_decide_alike(self):
        run = self.new_rounds("two-ranks")
        self.assert_exit(run.go(ranks=2), DONE)
        self.assert_same_rounds(run)

    def test_stopped_run_goes_on(self):
        run = self.new_rounds("stopped")
        job = run.start(ranks=None)
        self.assertTrue(job.freeze_when(lambda: len(run.steps_in("round-2/03-topic")) >= 3))
        job.signal_ranks(signal.SIGUSR1)
        job.signal_ranks(signal.SIGCONT)
        job.wait()
        self.assert_exit(run.go(ranks=None), DONE)
        self.assert_same_rounds(run)

    def test_gate_measures_the_road_without_its_phase_first(self):
        run = self.new_rounds("gated", self.gated, **{"iterate.max_rounds": 2})
        self.assert_exit(run.go(ranks=None), TARGET_NOT_MET)
        first, second = run.rounds()
        self.assertEqual(sorted(first["folders"]), ["pretrain", "topic"])
        self.assertEqual(second["adds"], "phase tags")
        self.assertEqual(second["folders"], {"pretrain": "round-1/01-pretrain",
                                             "tags": "round-2/02-tags",
                                             "topic": "round-2/03-topic"})
        self.assertEqual(run.status()["iterate"]["ended"], "the budget of 2 rounds is spent")

    def test_larger_budget_goes_on_and_another_strategy_is_refused(self):
        run = self.new_rounds("budget", **{"iterate.max_rounds": 1})
        self.assert_exit(run.go(ranks=None), TARGET_NOT_MET)
        self.assertEqual(run.states_of_rounds(), ["kept"])
        self.assert_exit(run.go(ranks=None, **{"iterate.max_rounds": 5}), DONE)
        self.assert_same_rounds(run)
        outcome = run.go(ranks=None, **{"iterate.margin": 0.2})
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "iterate.margin: 0.05 → 0.2")

    def test_target_that_is_not_met_has_an_exit_code_and_the_last_line(self):
        run = self.new_rounds("missed", **{"iterate.max_rounds": 1})
        for ranks in (None, 2):  # the second job has nothing to do
            outcome = run.go(ranks=ranks)
            self.assert_exit(outcome, TARGET_NOT_MET)
            score = run.rounds()[0]["score"]
            last = [line for line in outcome.err.splitlines() if line.strip()][-1] if ranks is None else outcome.err
            self.assertIn(f"the target is not met: valid.accuracy of topic is {score:.6g} in round 1, the best, and is to be "
                          "at least 0.95; the budget of 1 rounds is spent", last)
        starts = json.loads((run.path / "starts.json").read_text())
        self.assertEqual([start["exit_code"] for start in starts], [TARGET_NOT_MET])
        self.assertEqual({p["state"] for p in run.status()["phases"]}, {"done"})
        self.assert_exit(run.go("--phase", "topic", ranks=None), DONE)  # is done, whatever the target is

    def test_target_may_be_the_metric_of_one_corpus(self):
        write_more(self.texts)
        mixed = {"corpora.more": MORE, "phases.topic.data": "{topics: 1.0, more: 1.0}", "iterate.max_rounds": 2,
                 "iterate.target": "{phase: topic, metric: valid.more.accuracy, at_least: 1.1}"}
        run, two = self.new_rounds("corpus", **mixed), self.new_rounds("corpus-two", **mixed)
        self.assert_exit(run.go(ranks=None), TARGET_NOT_MET)
        self.assert_exit(two.go(ranks=2), TARGET_NOT_MET)
        self.assertEqual(two.decisions(), run.decisions())
        metrics = {p["folder"]: p["metrics"] for p in run.status()["phases"]}
        for round in run.rounds():
            of_phase = metrics[round["folders"]["topic"]]
            self.assertAlmostEqual(round["score"], of_phase["valid.more.accuracy"], places=9)
        self.assertNotEqual(of_phase["valid.more.accuracy"], of_phase["valid.accuracy"])
        count = sum(1 for line in (self.texts / "more-valid.tsv").open())
        self.assertEqual(run.decisions()["rounds"][1]["verdict"]["test"]["samples"], count)
        # Samples of which it is not known whose they are, as an older program wrote them, are measured anew.
        file = run.path / "round-1/03-topic/valid-samples.jsonl"
        measured = file.read_bytes()
        file.write_text("".join(json.dumps(json.loads(line)[:-1]) + "\n" for line in measured.splitlines()))
        self.assert_exit(run.go(ranks=None, **{"iterate.max_rounds": 3}), TARGET_NOT_MET)
        self.assertEqual(file.read_bytes(), measured)
        outcome = self.new_rounds("corpus-no", **{**mixed, "iterate.target.metric": "valid.mroe.accuracy"}).go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "iterate.target.metric names no metric \"valid.mroe.accuracy\" of phase \"topic\"; did you "
                         "mean \"valid.more.accuracy\"?")

    def test_diverged_round_is_rejected(self):
        run = self.new_rounds("diverged", **{"iterate.strategies.frozen.set":
                                             "{phases.topic.optimizer.learning_rate: 1e30}"})
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertEqual(run.states_of_rounds(), ["kept", "rejected", "kept"])
        self.assertEqual(run.rounds()[1]["score"], "nan")

    def test_trained_models_are_those_of_the_best_round(self):
        path = self.straight.path
        for arguments, round in (([], 3), (["--phase", "topic"], 3), (["--round", "2"], 2)):
            outcome = polyphase("evaluate", path, *arguments, "--part", "valid", "--format", "json")
            self.assert_exit(outcome, DONE)
            metrics = json.loads(outcome.out)["metrics"]
            self.assertAlmostEqual(metrics["accuracy"], self.straight.rounds()[round - 1]["score"],
                                   places=9)
        outcome = polyphase("evaluate", path, "--phase", "pretrain")
        self.assert_exit(outcome, DONE)
        self.assert_exit(polyphase("evaluate", path, "--round", "9"), USAGE)

    def test_report_and_status_show_the_rounds(self):
        page = (self.straight.path / "report.html").read_text()
        self.assertEqual(len(re.findall(r"<h3>Round \d", page)), 3)
        self.assertIn("Round 3: faster", page)
        self.assertIn("learning_rate: 0.001 → 0.003", page)
        self.assertIn("pretrain of round 1, tags of round 1", page)
        outcome = polyphase("status", self.straight.path)
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, "frozen", "rejected", "ended: the target holds")

    def search_run(self, name):
        recipe = self.texts / "search.yaml"
        recipe.write_text(RECIPE.read_text() + SEARCH)
        return RoundsRun(self.scratch / name, self.texts, recipe, **{"phases.topic.stop.steps": 60})

    def test_search_gives_the_best_trial_of_a_short_rung_all_of_its_steps_also_when_killed(self):
        straight, killed = self.search_run("search"), self.search_run("search-killed")
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        rounds = straight.rounds()
        self.assertEqual([r["state"] for r in rounds[:4]], ["kept", "tried", "tried", "tried"])
        self.assertEqual(len(rounds), 5)
        best = max(range(1, 4), key=lambda i: rounds[i]["score"])
        self.assertEqual(rounds[4]["adds"], f"rate: trial {best} of 3, rung 2 of 2")
        self.assertEqual(len(straight.steps_in(rounds[1]["folders"]["topic"])), 20)
        self.assertEqual(len(straight.steps_in(rounds[4]["folders"]["topic"])), 60)
        self.assertEqual(rounds[4]["folders"]["tags"], rounds[0]["folders"]["tags"])

        for moment in ("round-3/03-topic/metrics.jsonl", "round-5/03-topic/metrics.jsonl"):
            job = killed.start(ranks=2)
            self.assertTrue(job.freeze_when(lambda: killed.has(moment)))
            job.kill()
            job.wait()
        self.assert_exit(killed.go(ranks=2), TARGET_NOT_MET)
        self.assertEqual(killed.decisions(), straight.decisions())


if __name__ == "__main__":
    unittest.main()
