# SPDX-License-Identifier: Apache-2.0
"""Every family goes on from layouts of ranks on others, one of them from any on any, and sees each sample once."""
import itertools
import json
import shutil
import unittest
from collections import Counter

from families_test import FamilyRun
from job import DONE, RoadTest

# Tensor × data × pipeline.
LAYOUTS = [(tensor, data, 1) for tensor in (1, 2, 4) for data in (1, 2, 4) if tensor * data <= 4]
ALL_MOVES = list(itertools.permutations(LAYOUTS, 2))
# From and to every layout, and from every number of tensor-parallel ranks to every other.
SOME_MOVES = list(itertools.pairwise([(1, 1, 1), (4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 1), (4, 1, 1), (1, 2, 1),
                                      (2, 2, 1), (1, 1, 1)]))
# From and to every layout of several stages; the last number is that of the chunks that each has in turn.
STAGES = [(1, 1, 1), (1, 1, 2), (1, 2, 2, 2), (1, 1, 4), (2, 1, 2, 2)]
STAGE_MOVES = list(itertools.pairwise([(1, 1, 1), (1, 1, 4), (1, 2, 2, 2), (2, 1, 2, 2), (1, 1, 2), (1, 2, 2, 2),
                                       (1, 1, 1)]))
# One weight update in float32 differs by less than this when the tensor-parallel size changes.
TENSOR_TOLERANCE = 1e-4
SAVED, LAST = 6, 12  # steps


class ElasticTest(RoadTest):
    def family_run(self, family, name, **values):
        return FamilyRun(self.scratch / f"{family}-{name}", self.texts, family, **{
            "checkpoint.every_steps": SAVED, "model.num_heads": 4, "model.dropout": 0.1,
            "phases.pretrain.stop.steps": LAST, "phases.pretrain.evaluate.every_steps": LAST,
            "phases.pretrain.evaluate.max_samples": 8, **values})

    def go(self, run, layout):
        tensor, data, pipeline, *interleave = layout
        ranks = tensor * data * pipeline
        self.assert_exit(run.go("--phase", "pretrain", "--log-samples", ranks=ranks if ranks > 1 else None,
                                **{"parallel.tensor": tensor, "parallel.pipeline": pipeline,
                                   "parallel.interleave": (interleave or [1])[0]}), DONE)

    def samples(self, run):
        """By step, what all data ranks trained on, in the order of the step."""
        steps = {}
        for file in sorted(run.phase_folder("pretrain").glob("samples-*.jsonl")):
            for line in file.read_text().splitlines():
                record = json.loads(line)
                steps.setdefault(record["step"], []).extend(record["samples"])
        return steps

    def moved(self, run, before, after):
        """The run as it was at its first checkpoint, gone on with under another layout."""
        moved = FamilyRun(self.scratch / f"{run.path.name}-on-{after}", self.texts,
                          run.recipe.stem, **run.values)
        moved.values["run_dir"] = moved.path
        shutil.copytree(run.path, moved.path, symlinks=True)
        shutil.rmtree(moved.checkpoints("pretrain")[-1])
        self.assertEqual(moved.checkpoints("pretrain")[-1].name, f"step-{SAVED:06}")
        self.go(moved, after)
        return moved

    def check_family(self, family, moves, layouts=LAYOUTS, **values):
        straight = {}
        for layout in layouts:
            straight[layout] = self.family_run(family, "on-" + "x".join(map(str, layout)), **values)
            self.go(straight[layout], layout)
        one = straight[1, 1, 1]
        seen = self.samples(one)
        self.assertEqual(sorted(seen), list(range(1, LAST + 1)))
        self.assertEqual({len(samples) for samples in seen.values()}, {16})
        epoch = [sample for step in sorted(seen) for sample in seen[step]]
        self.assertEqual(max(Counter(epoch).values()), 1, "within an epoch, each sample once")
        for before, after in moves:
            with self.subTest(family=family, before=before, after=after):
                run = self.moved(straight[before], before, after)
                self.assertEqual(self.samples(run), seen)
                mine = run.steps("pretrain")
                if before[0] == after[0]:  # stages and data-parallel ranks change no bit
                    self.assertEqual(mine, straight[before].steps("pretrain"))
                for (step, loss, *_), (_, expected, *_) in zip(mine, one.steps("pretrain"), strict=True):
                    self.assertLessEqual(abs(loss - expected), TENSOR_TOLERANCE * expected, step)
                shutil.rmtree(run.path)

    def test_bert(self):
        self.check_family("bert", ALL_MOVES)

    def test_gpt(self):
        self.check_family("gpt2", SOME_MOVES)

    def test_t5(self):
        self.check_family("t5_v1_1", SOME_MOVES)

    def test_stages(self):
        self.check_family("gpt2", STAGE_MOVES, STAGES, **{"model.num_layers": 4})


if __name__ == "__main__":
    unittest.main()
