# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind can be read by other tools, and is checked by ours."""
import json
import re
import shutil
import subprocess
import unittest

from job import DATA, DONE, RoadTest, polyphase, read_lines


def shapes_by_h5dump(file):
    """Names and shapes of all datasets of an HDF5 file, as the HDF5 tool sees them."""
    text = subprocess.run(["h5dump", "--header", file], check=True, capture_output=True,
                          text=True).stdout
    shapes, path = {}, []
    for line in text.splitlines():
        if found := re.match(r'\s*(GROUP|DATASET) "(.*)" \{', line):
            path.append(found[2])
        elif line.rstrip().endswith("{"):
            path.append(None)
        elif found := re.search(r"DATASPACE\s+SIMPLE \{ \( ([\d, ]+) \)", line):
            name = "/".join(part for part in path if part not in (None, "/", str(file)))
            shapes.setdefault(name, [int(extent) for extent in found[1].split(",")])
        if line.strip() == "}":
            path.pop()
    return shapes


class FilesTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_of_two = cls.new_run(cls, "two", **{"parallel.tensor": 2})
        outcome = cls.run_of_two.go()
        assert outcome.code == DONE, outcome
        cls.checkpoint = cls.run_of_two.checkpoints("pretrain")[-1]

    def test_h5dump_shows_every_tensor_whole(self):
        manifest = json.loads((self.checkpoint / "manifest.json").read_text())
        expected = {name: tensor["shape"] for name, tensor in manifest["tensors"].items()}
        self.assertEqual(shapes_by_h5dump(self.checkpoint / "model.h5"), expected)
        parameters = [n.removeprefix("parameters/") for n in expected if n.startswith("parameters/")]
        self.assertGreater(len(parameters), 30)
        for name in parameters:
            for moment in ("moment1", "moment2"):
                self.assertEqual(expected[f"optimizer/{moment}/{name}"],
                                 expected[f"parameters/{name}"])
        split = [t for t in manifest["tensors"].values() if len(t["parts"]) == 2]
        self.assertTrue(split, "two tensor-parallel ranks wrote no tensor in two parts")

    def test_h5dump_reads_values_through_the_virtual_view(self):
        name = next(n for n, s in sorted(shapes_by_h5dump(self.checkpoint / "model.h5").items())
                    if len(s) == 2)
        text = subprocess.run(["h5dump", "--dataset", f"/{name}", self.checkpoint / "model.h5"],
                              check=True, capture_output=True, text=True).stdout
        rows = re.findall(r"\(\d+,\d+\): (.*)", text)
        self.assertTrue(any(float(value) != 0 for row in rows for value in row.strip(",").split(",")))

    def test_inspect_lists_shapes_and_verify_finds_all_well(self):
        outcome = polyphase("inspect", self.checkpoint)
        self.assertEqual(outcome.code, DONE, outcome)
        for name, shape in shapes_by_h5dump(self.checkpoint / "model.h5").items():
            self.assertRegex(outcome.out, re.escape(name) + r"\s+" + " × ".join(map(str, shape)))
        self.assert_exit(polyphase("verify", self.checkpoint), DONE)
        for corpus in ("text", "tags", "topics"):
            for command in ("inspect", "verify"):
                self.assert_exit(polyphase(command, self.run_of_two.path / "data" / corpus), DONE)

    def test_verify_finds_one_flipped_bit_in_a_corpus(self):
        copy = self.scratch / "corpus"
        shutil.copytree(self.run_of_two.path / "data" / "tags", copy)
        flip_bit(copy / "train-0000.h5", (copy / "train-0000.h5").stat().st_size // 2)
        outcome = polyphase("verify", copy)
        self.assert_exit(outcome, DATA)
        self.assert_says(outcome, "train-0000.h5")
        self.assert_says(outcome, "prepare again")

    def test_verify_finds_one_flipped_bit_in_any_file(self):
        for file in ("writer-0000.h5", "writer-0001.h5", "manifest.json", "model.h5"):
            with self.subTest(file=file):
                copy = self.scratch / "flipped"
                shutil.copytree(self.checkpoint, copy)
                self.addCleanup(shutil.rmtree, copy, ignore_errors=True)
                flip_bit(copy / file, (copy / file).stat().st_size * 3 // 4)
                outcome = polyphase("verify", copy)
                self.assert_exit(outcome, DATA)
                self.assert_says(outcome, file)
                shutil.rmtree(copy)

    def test_only_the_newest_checkpoints_are_kept(self):
        steps = [[int(c.name.removeprefix("step-")) for c in self.run_of_two.checkpoints(phase)]
                 for phase in self.PHASES]
        self.assertEqual(steps, [[15, 20], [10, 12], [10, 12]])

    def test_metrics_hold_every_step_once(self):
        for phase, steps in zip(self.PHASES, (20, 12, 12)):
            records = read_lines(self.run_of_two.phase_folder(phase) / "metrics.jsonl")
            self.assertEqual([r["step"] for r in records if r["kind"] == "step"],
                             list(range(1, steps + 1)))
            splits = [r["split"] for r in records if r["kind"] == "evaluation"]
            self.assertIn("valid", splits)
            self.assertEqual("test" in splits, phase != "pretrain")


def flip_bit(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


if __name__ == "__main__":
    unittest.main()
