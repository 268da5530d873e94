# SPDX-License-Identifier: Apache-2.0
"""Runs of the small recipe with a search, and what all ways to train its trials must agree in."""
import json

from iterate_test import RoundsRun
from job import RECIPE, TARGET_NOT_MET, RoadTest

# Trials 1 and 2 have one phase "tags", trials 3 and 4 another. The target is out of reach.
SEARCH = """
iterate:
  target: {phase: topic, metric: valid.loss, at_most: 1e-6}
  max_rounds: 20
  strategies:
    - name: rates
      search:
        values: {phases.tags.optimizer.learning_rate: [1e-3, 3e-3],
                 phases.topic.optimizer.learning_rate: [3e-3, 3e-4]}
        rungs: 2
"""
RANKS_PER_TRIAL = "iterate.strategies.rates.search.ranks_per_trial"
VALUES = "iterate.strategies.rates.search.values"
QUICK = {"phases.pretrain.stop.steps": 4, "phases.tags.stop.steps": 4, "phases.topic.stop.steps": 24}


class SearchTest(RoadTest):
    """`straight` trains one trial after the other on one rank."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recipe = cls.texts / "search.yaml"
        cls.recipe.write_text(RECIPE.read_text() + SEARCH)
        cls.straight = cls.new_search(cls, "straight", 0)
        outcome = cls.straight.go(ranks=None)
        assert outcome.code == TARGET_NOT_MET, outcome

    def new_search(self, name, ranks_per_trial, **values):
        return RoundsRun(self.scratch / name, self.texts, self.recipe,
                         **{**QUICK, RANKS_PER_TRIAL: ranks_per_trial, **values})

    def last_digests(self, run, folder):
        checkpoint = sorted((run.path / folder / "checkpoints").glob("step-??????"))[-1]
        tensors = json.loads((checkpoint / "manifest.json").read_text())["tensors"]
        return {name: sorted((part["begin"], part["digest"]) for part in tensor["parts"])
                for name, tensor in tensors.items()}

    def assert_same_search(self, run, straight=None):
        straight = straight or self.straight
        self.assertEqual(run.decisions(), straight.decisions())
        self.assertEqual(run.rounds(), straight.rounds())
        of = [{p["folder"]: p for p in r.status()["phases"]} for r in (run, straight)]
        self.assertEqual(list(of[0]), list(of[1]))
        for folder, phase in of[1].items():
            for key in ("state", "step", "total_steps", "samples", "tokens", "metrics", "handover", "from_folder"):
                self.assertEqual(of[0][folder][key], phase[key], f"{folder} {key}")
            self.assertEqual(run.steps_in(folder), straight.steps_in(folder), folder)
            if phase["state"] == "done":
                self.assertEqual(self.last_digests(run, folder), self.last_digests(straight, folder), folder)
