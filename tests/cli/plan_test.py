# SPDX-License-Identifier: Apache-2.0
"""`polyphase plan --machine`: time, traffic and layouts from a recipe and a machine file, before anything is there."""
import re
import tempfile
import unittest
from pathlib import Path

from job import DONE, RECIPE, SOURCE, USAGE, Job

H100 = SOURCE / "inputs" / "machines" / "h100-8.yaml"
LARGE = SOURCE / "inputs" / "machines" / "large.yaml"


def plan(*arguments):
    return Job(["plan", *map(str, arguments)]).wait()


def row(outcome, first):
    """The cells of the first row of the table under the line that begins with `first`."""
    lines = outcome.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(first))
    return re.split(r"  +", lines[at + 3].strip())


class PlanTest(unittest.TestCase):
    def assert_exit(self, outcome, code):
        self.assertEqual(outcome.code, code, outcome)

    def test_every_phase_has_its_time(self):
        outcome = plan(RECIPE, "--ranks", 4, "--machine", H100)
        self.assert_exit(outcome, DONE)
        self.assertIn("memory of one rank of 4 (1 tensor × 4 data)", outcome.out)
        for phase in ("pretrain", "tags", "topic"):
            self.assertEqual(len(re.findall(rf"^{phase} ", outcome.out, re.M)), 3, outcome)
        cells = row(outcome, "time of a step")
        self.assertEqual((cells[0], cells[-2]), ("pretrain", "20"))
        shares = [float(cell.split()[0]) for cell in cells[2:8] if cell.endswith("%")]
        self.assertAlmostEqual(sum(shares), 100.0, delta=0.5)
        self.assertRegex(outcome.out, r"(?m)^kernels started in a step, and their time: pretrain \d+ \(\d+\.\d %\); tags \d+")

    def test_without_a_machine_there_is_memory_alone(self):
        outcome = plan(RECIPE, "--ranks", 4)
        self.assert_exit(outcome, DONE)
        self.assertNotIn("time of a step", outcome.out)

    def test_the_first_layout_is_that_of_a_recipe_that_asks_for_it(self):
        """What the table of layouts says is what the recipe gets when it asks for that layout."""
        for ranks, sequences in ((8, 16), (64, 128)):
            asked = ["--ranks", ranks, "--machine", H100, "--set", f"phases.pretrain.batch.sequences={sequences}", "--set",
                     "model.num_layers=8"]
            outcome = plan(LARGE, *asked)
            best = row(outcome, "the fastest layouts of")
            self.assertEqual(int(best[0]) * int(best[2]) * int(best[4]), ranks)
            options = re.search(r"^the first with --set '(parallel=.*)' --set (recompute=.*)$", outcome.out, re.M)
            same = plan(LARGE, *asked, "--set", options[1], "--set", options[2])
            step = row(same, "time of a step")
            with_pipeline = int(best[2]) > 1
            self.assertEqual(step[8 + with_pipeline:10 + with_pipeline], best[8:10])  # tokens a second and MFU
            mebibytes = int(row(same, "memory of one rank")[-1].split()[0])
            self.assertAlmostEqual(mebibytes / 1024, float(best[7].split()[0]), delta=0.06)

    def test_what_fits_nowhere_is_told_what_to_change(self):
        outcome = plan(LARGE, "--ranks", 1, "--machine", H100, "--set", "model.num_layers=200")
        self.assert_exit(outcome, DONE)
        self.assertIn("no layout of 1 ranks fits 76 GiB a rank", outcome.out)
        self.assertRegex(outcome.out, r"\d+ ranks would do|a smaller model.width")

    def test_another_layout_is_named_where_the_recipes_own_is_none(self):
        outcome = plan(LARGE, "--ranks", 64, "--machine", H100, "--set", "model.num_layers=8")  # 16 sequences for 64 data ranks
        self.assert_exit(outcome, USAGE)
        self.assertIn("large.yaml:", outcome.text)
        self.assertIn("the fastest layouts of 64 ranks that fit", outcome.out)

    def test_faults_of_a_machine_file_are_told_with_their_place(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "machine.yaml"
            file.write_text("rates:\n  8: {memory_gib: many}\n")
            outcome = plan(RECIPE, "--machine", file)
            self.assert_exit(outcome, USAGE)
            self.assertIn("machine.yaml:2:19: machine.rates.8.memory_gib is \"many\"; expected a number greater than 0",
                          outcome.text)
            self.assertIn("lacks the key \"memory_gb_s\"", outcome.text)
            self.assert_exit(plan(RECIPE, "--machine", Path(folder) / "none.yaml"), USAGE)


if __name__ == "__main__":
    unittest.main()
