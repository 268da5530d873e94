# SPDX-License-Identifier: Apache-2.0
"""What goes wrong is said once, with its remedy; no rank hangs, nothing is lost."""
import os
import shutil
import signal
import subprocess
import unittest

from job import (DATA, DONE, INTERRUPTED, PROGRAM, SYSTEM, USAGE, Job, RoadTest, polyphase,
                 settings)


class FaultTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight")
        outcome = cls.straight.go()
        assert outcome.code == DONE, outcome
        cls.stopped = cls.new_run(cls, "stopped", **{"checkpoint.keep": 3})
        job = cls.stopped.start()
        assert job.freeze_when(lambda: len(cls.stopped.steps("pretrain")) >= 12)
        os.kill(job.process.pid, signal.SIGUSR1)
        job.signal_ranks(signal.SIGCONT)
        outcome = job.wait()
        assert outcome.code == INTERRUPTED, outcome

    def texts_with(self, name, **changed):
        """A copy of the texts with some files changed: topics_train="…" for topics-train.tsv."""
        folder = self.scratch / name
        shutil.copytree(self.texts, folder)
        for key, text in changed.items():
            file = next(folder.glob(key.replace("_", "-") + ".*"))
            file.write_text(file.read_text() + text)
        return folder

    def assert_said_once(self, outcome, *words):
        for word in words:
            self.assertEqual(outcome.text.count(str(word)), 1, f"{word}\n{outcome}")
        self.assertNotIn("MPI_ABORT", outcome.text)

    def stopped_run(self, name):
        """A run of which pretraining was stopped in the middle."""
        return self.stopped.copy_to(self.scratch / name)

    def flip_byte(self, path):
        """A byte of a parameter: these stand behind the headers (up to a third of the file), before the moments."""
        data = bytearray(path.read_bytes())
        data[len(data) * 3 // 8] ^= 1
        path.write_bytes(data)
        return path

    def test_all_recipe_faults_are_said_at_once_and_once(self):
        recipe = self.scratch / "faulty.yaml"
        recipe.write_text("name: faulty\ntokenizer: {vocab_sizes: 9}\ncorpora: {}\n"
                          "model: {family: bert, widht: 32}\nphases: []\n")
        for ranks in (None, 2):
            outcome = polyphase("run", recipe, "--set", "seed=abc", ranks=ranks)
            self.assert_exit(outcome, USAGE)
            self.assert_said_once(outcome, 'unknown key "vocab_sizes"', 'did you mean "width"',
                                  f"{recipe}:4:23", 'seed is "abc"')

    def test_missing_files_are_listed(self):
        run = self.new_run("missing", **{"corpora.text.files": "[gone.txt, away.txt]"})
        outcome = run.go()
        self.assert_exit(outcome, USAGE)
        self.assert_said_once(outcome, "gone.txt", "away.txt")
        self.assertFalse(run.path.exists())

    def test_bad_lines_are_named_by_file_and_number(self):
        lines = len((self.texts / "topics-train.tsv").read_text().splitlines())
        tag_lines = len((self.texts / "tags-train.conll").read_text().splitlines())
        for name, changed, place in (
            ("tsv", {"topics_train": "no label here\n"}, f"topics-train.tsv:{lines + 1}:"),
            ("label", {"topics_test": "the cat\tunheard-of\n"}, "topics-test.tsv:41:"),
            ("conll", {"tags_train": "\nlonely\n"}, f"tags-train.conll:{tag_lines + 2}:"),
        ):
            with self.subTest(name):
                run = self.new_run(f"run-{name}", folder=self.texts_with(f"texts-{name}", **changed))
                outcome = run.go()
                self.assert_exit(outcome, DATA)
                self.assert_said_once(outcome, place)

    def test_damaged_checkpoint_is_set_aside_and_the_one_before_taken(self):
        run = self.stopped_run("damaged")
        before, newest = run.checkpoints("pretrain")[-2:]
        path = self.flip_byte(newest / "writer-0001.h5")
        outcome = run.go()
        self.assert_exit(outcome, DONE)
        self.assert_says(outcome, path, "digest", f"set aside as {newest.name}.damaged",
                         f"going on from step {int(before.name[-6:])}")
        self.assert_same_road(run, self.straight)

    def test_newest_checkpoint_that_is_not_whole_is_named_and_the_one_before_taken(self):
        def cut(path):
            os.truncate(path, path.stat().st_size // 2)
            return path

        def unlink(path):
            path.unlink()
            return path

        def leave_half_written(checkpoint):
            (checkpoint / "manifest.json").unlink()
            return checkpoint.rename(f"{checkpoint}.tmp")

        for name, damage in (("manifest", lambda newest: cut(newest / "manifest.json")),
                             ("cut", lambda newest: cut(newest / "writer-0001.h5")),
                             ("gone", lambda newest: unlink(newest / "writer-0000.h5")),
                             ("half", leave_half_written)):
            with self.subTest(name):
                run = self.stopped_run(f"not-whole-{name}")
                before, newest = run.checkpoints("pretrain")[-2:]
                path = damage(newest)
                outcome = run.go()
                self.assert_exit(outcome, DONE)
                self.assert_says(outcome, path, f"going on from step {int(before.name[-6:])}")
                self.assert_same_road(run, self.straight)

    def test_damage_to_every_checkpoint_is_refused_with_the_remedy(self):
        run = self.stopped_run("all-damaged")
        for checkpoint in run.checkpoints("pretrain"):
            path = self.flip_byte(checkpoint / "writer-0000.h5")
        outcome = run.go()
        self.assert_exit(outcome, DATA)
        self.assert_says(outcome, path, "no checkpoint of phase pretrain is whole; remove the folder")
        self.assertEqual(run.states()["pretrain"], "failed")
        shutil.rmtree(run.phase_folder("pretrain"))
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_damaged_end_of_a_parent_phase_is_made_again(self):
        run = self.new_run("parent")
        self.assert_exit(run.go("--phase", "pretrain"), DONE)
        newest = run.checkpoints("pretrain")[-1]
        path = self.flip_byte(newest / "writer-0001.h5")
        outcome = run.go()
        self.assert_exit(outcome, DATA)
        self.assert_said_once(outcome, path, f"remove the folder {newest}")
        shutil.rmtree(newest)
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_changed_texts_are_not_mixed_into_a_run(self):
        run = self.stopped_run("changed")
        run.values["folder"] = self.texts_with("changed-texts", text="\nthe new cat sees a dog .\n")
        outcome = run.go()
        self.assert_exit(outcome, USAGE)
        self.assert_said_once(outcome, "the corpus text changed since this checkpoint was written")
        run.values["folder"] = self.texts
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_phase_is_not_begun_with_another_tokenizer_than_its_parent(self):
        run = self.new_run("tokenizer")
        self.assert_exit(run.go("--phase", "pretrain"), DONE)
        run.values["folder"] = self.texts_with("other-texts", text="\nzyx wvq zyx wvq .\n" * 50)
        outcome = run.go()
        self.assert_exit(outcome, USAGE)
        self.assert_said_once(outcome, "pretrain was trained with the tokenizer")
        run.values["folder"] = self.texts
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_damaged_shards_and_tokenizer_are_made_again(self):
        run = self.stopped_run("shards")
        data = run.path / "data"
        shard = data / "text" / "train-0000.h5"
        os.truncate(shard, shard.stat().st_size // 2)
        (data / "tokenizer.model").write_text("garbage")
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_shard_cut_short_under_a_running_job_ends_all_ranks(self):
        run = self.new_run("cut", **{"phases.pretrain.stop.steps": 200})
        job = run.start()
        self.assertTrue(job.freeze_when(lambda: len(run.steps("pretrain")) >= 6))
        shard = run.path / "data" / "text" / "train-0000.h5"
        os.truncate(shard, 3000)
        job.signal_ranks(signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, DATA)
        self.assert_says(outcome, shard)
        self.assert_exit(run.go(), DONE)

    def test_error_of_one_rank_alone_ends_all_and_names_it(self):
        wrapper = self.scratch / "rank-1-cannot-write"
        # Files of rank 1 may hold 4 KiB: less than its part of a checkpoint.
        wrapper.write_text('#!/bin/bash\nif [[ ${OMPI_COMM_WORLD_RANK:-$PMI_RANK} == 1 ]]; then\n'
                           f'  trap "" XFSZ\n  ulimit -f 4\nfi\nexec {PROGRAM} "$@"\n')
        wrapper.chmod(0o755)
        run = self.new_run("one-rank")
        self.assert_exit(polyphase("prepare", *run.arguments()[1:], ranks=2), DONE)
        outcome = Job(run.arguments(), ranks=2, program=wrapper).wait()
        self.assert_exit(outcome, SYSTEM)
        self.assert_said_once(outcome, "[rank 1] ")
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_file_in_place_of_the_run_folder(self):
        path = self.scratch / "file"
        path.write_text("")
        outcome = polyphase(*self.new_run("file").arguments(), ranks=2)
        self.assert_exit(outcome, SYSTEM)
        self.assert_said_once(outcome, f"cannot make the run folder {path}")

    def test_full_disk_loses_nothing(self):
        disk = self.scratch / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small disk: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", disk], check=True)
        run = self.new_run("disk/run")
        job = run.start()
        # Checkpoints are written beside the steps: the moment is when one is there, whatever the step.
        self.assertTrue(job.freeze_when(lambda: run.checkpoints("pretrain")))
        before = run.checkpoints("pretrain")[-1]
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:  # leave less than a checkpoint
            free = os.statvfs(disk)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 100_000)
        job.signal_ranks(signal.SIGCONT)
        outcome = job.wait()
        self.assert_exit(outcome, SYSTEM)
        self.assert_says(outcome, "bytes", "free")
        newest = run.checkpoints("pretrain")[-1]
        self.assertGreaterEqual(newest.name, before.name)  # one may have had its room already
        self.assert_exit(polyphase("verify", newest), DONE)
        ballast.unlink()
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)


if __name__ == "__main__":
    unittest.main()
