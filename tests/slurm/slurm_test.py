# SPDX-License-Identifier: Apache-2.0
"""Runs go their whole road through a real Slurm, whatever befalls their jobs, and end with the bits of an undisturbed run."""
import json
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
import job as jobs  # noqa: E402
from cluster import Cluster, NoSlurm  # noqa: E402
from iterate_test import RoundsRun  # noqa: E402
from job import DONE, PROGRAM, RECIPE, SOURCE, TARGET_NOT_MET, USAGE, RoadTest, Run, settings  # noqa: E402
from search_runs import SEARCH  # noqa: E402
from slurm_run import SHORT, SlurmRun, prepare_environment, until  # noqa: E402
from stalled_jobs import StalledJobs  # noqa: E402

SKIPPED = 77  # what ctest takes for "skipped"
NO_PROGRESS = 93
TIMES_UP = {"slurm.time": 60, "slurm.warn_seconds": 50}  # Slurm looks whose time ends every 30 s
WITH_GATE = """
iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 0.999}
  margin: 0.9
  strategies:
    - {name: more dropout, set: {phases.topic.dropout: 0.3}}
"""


class Beside(threading.Thread):
    """Work that goes on while other tests run; its failure is raised where it is waited for."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.failure = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as failure:
            self.failure = failure

    def finish(self):
        self.join()
        if self.failure is not None:
            raise self.failure


class SlurmTest(StalledJobs, RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        prepare_environment()
        cls.cluster = Cluster(cls.scratch / "slurm")
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.stop)
        cls.straight = cls.new_run(cls, "straight", **SHORT)
        cls.stuck = cls.slurm_run(cls, "stuck", **{"limits.wall_time": 0.001})
        cls.stuck.submitted()
        cls.timed = cls.slurm_run(cls, "timed", **SHORT, **TIMES_UP)
        cls.timing = Beside(cls.let_time_end)
        cls.walking = Beside(lambda: cls.check_straight(cls))
        # Most of what they do is to wait.
        case = cls("test_1_bad_recipe_is_refused_before_anything_is_queued")
        cls.beside = {work.__name__: Beside(work)
                      for work in (case.cancel, case.preempt, case.stand_still_under_srun, case.stand_still_under_mpirun, case.loop,
                                  case.go_by_hand_and_by_seeds, case.go_round, case.search)}

    def check_straight(self):
        outcome = self.straight.go(ranks=None)
        assert outcome.code == DONE, outcome

    @classmethod
    def let_time_end(cls):
        cls.timed.submitted()
        cls.timed.wait_for_step("pretrain", 12)
        while not cls.timed.freeze_until_asked_to_stop(cls.timed.id_of("phase pretrain")):
            cls.timed.wait_for_step("pretrain", len(cls.timed.metrics("pretrain")) + 1)
        cls.timed.wait_until_ended()

    def slurm_run(self, name, **values):
        return SlurmRun(self.cluster, self.scratch / name, self.texts, **values)

    def setUp(self):
        began = time.monotonic()
        self.addCleanup(lambda: print(f"{time.monotonic() - began:.1f} s", file=sys.stderr))

    def assert_road(self, run, straight=None):
        self.walking.finish()
        self.assertEqual(set(run.states().values()), {"done"}, run.told() + run.output())
        self.assert_same_road(run, straight or self.straight)

    def assert_told(self, run, *words):
        told = run.told()
        for word in words:
            self.assertIn(word, told)
        return told

    def test_1_bad_recipe_is_refused_before_anything_is_queued(self):
        run = self.slurm_run("bad", **{"slurm.ranks": 3, "corpora.topics.test": "[none.tsv]"})
        said = run.submit()
        self.assertEqual(said.returncode, USAGE, said.stdout)
        self.assertIn("phases.pretrain.batch.sequences", said.stdout)
        self.assertIn('no file "none.tsv"', said.stdout)
        run = self.slurm_run("bad", **{"slurm.tiem": 3, "phases.tags.slurm.options": "[mem]"})
        said = run.submit()
        self.assertEqual(said.returncode, USAGE, said.stdout)
        self.assertIn('unknown key "tiem" in slurm; did you mean "time"?', said.stdout)
        self.assertIn('"mem" is no option of sbatch', said.stdout)
        self.assertFalse(run.path.exists())

    def test_2_dry_run_shows_all_and_submits_nothing(self):
        run = self.slurm_run("dry", **{"phases.tags.slurm.time": 1234, "slurm.partition": "low", "slurm.threads": 2,
                                       "slurm.setup": "[export A=1]"})
        said = run.submitted("--dry-run")
        for words in ("#SBATCH --time=00:20:34", "#SBATCH --partition=low", "#SBATCH --ntasks=2", "export A=1",
                      "#SBATCH --cpus-per-task=2", "--dependency=afterok:$previous --kill-on-invalid-dep=yes", "/slurm/03-topic.sbatch"):
            self.assertIn(words, said)
        self.assertFalse(run.path.exists())
        run = self.slurm_run("dry")
        run.recipe = self.search_recipe()
        said = run.submitted("--dry-run")
        for words in ('recipe.yaml --phase topic ${SLURM_ARRAY_TASK_ID:+--trial $SLURM_ARRAY_TASK_ID} "$@")', "next_jobs=",
                      "/slurm/next.sh", "/slurm/03-topic.sbatch --round 1)",
                      "afterok:JOB --kill-on-invalid-dep=yes --array=ROUNDS", "PHASE.sbatch --round ROUND"):
            self.assertIn(words, said)
        said = run.submitted("--dry-run", "--one-job")
        for words in ("--round", "next_jobs=", "03-topic"):
            self.assertNotIn(words, said)
        self.assertIn("/slurm/01-run.sbatch", said)
        said = run.submitted("--dry-run", "--seeds", "1,2")
        for words in ("/dry/seed-${seeds[$SLURM_ARRAY_TASK_ID]}/slurm/next.sh", "/dry/seed-2/slurm/03-topic.sbatch",
                      "/dry/seed-2/slurm/next.sh", "--array=0,1"):
            self.assertIn(words, said)
        self.assertFalse(run.path.exists())

    def search_recipe(self):
        recipe = self.scratch / "search.yaml"
        recipe.write_text(RECIPE.read_text() + SEARCH)
        return recipe

    def test_3_cancelled_chain_stops_and_goes_on_when_submitted_again(self):
        self.beside["cancel"].finish()

    def cancel(self):
        run = self.slurm_run("cancelled", **SHORT)
        run.submitted()
        again = run.submitted()
        self.assertIn("nothing to add", again)
        self.assertEqual([record["what"] for record in run.records()],
                         ["prepare", "phase pretrain", "phase tags", "phase topic"])
        # As if `submit` had been killed behind its last sbatch.
        noted = run.path / "slurm" / "jobs.json"
        list_of_jobs, known = json.loads(noted.read_text()), [(r["what"], r["id"], r["after"]) for r in run.records()]
        noted.write_text(json.dumps({**list_of_jobs, "jobs": list_of_jobs["jobs"][:-1]}))
        self.assertIn("it was in the queue", run.submitted())
        self.assertEqual([(r["what"], r["id"], r["after"]) for r in run.records()], known)
        run.wait_for_step("pretrain", 5)
        # Another test's job may preempt it for a while.
        until(lambda: all(word in run.told() for word in ("pretrain", "running", "RUNNING", "left; loss", "goodput")), run.told)
        self.cluster.say("scancel", run.id_of("phase pretrain"))
        run.wait_until_ended()
        self.assertEqual(run.states_of_jobs()[run.id_of("phase topic")], "CANCELLED")
        self.assert_told(run, "the chain of jobs has stopped. pretrain: the job was cancelled",
                         "`polyphase submit` goes on")
        self.assertEqual(run.states()["pretrain"], "interrupted", "it had time to save")
        run.submitted()
        run.wait_until_ended()
        self.assert_road(run)
        self.assertIn("all is done", run.submitted())
        self.assertNotIn("stopped", run.told())

    def test_4_preempted_run_saves_and_goes_on_under_mpirun(self):
        self.beside["preempt"].finish()

    def preempt(self):
        run = self.slurm_run("preempted", **SHORT, **{"slurm.launch": "mpirun --bind-to none"})
        run.submitted()
        run.wait_for_step("pretrain", 5)
        run.freeze_until_asked_to_stop(run.id_of("phase pretrain"), lambda: self.cluster.say(
            "sbatch", "-p", "high", "-n8", "-o", "/dev/null", "--wrap", "sleep 1"))
        run.wait_until_ended()
        self.assert_road(run)
        self.assertIn(75, [start["exit_code"] for start in run.starts()])

    def test_4_rank_that_stands_still_is_found_and_the_job_goes_on(self):
        for name in ("stand_still_under_srun", "stand_still_under_mpirun", "loop"):
            self.beside[name].finish()

    def test_5_phase_by_hand_and_several_seeds(self):
        self.beside["go_by_hand_and_by_seeds"].finish()

    def go_by_hand_and_by_seeds(self):
        by_hand = self.slurm_run("by-hand", **SHORT)
        words = [word for word in settings(by_hand.values)]
        said = self.cluster.run("sbatch", "--parsable", "--wait", "-n2", SOURCE / "slurm" / "phase.sbatch", RECIPE,
                                "pretrain", *words, cwd=self.scratch)
        self.assertEqual(said.returncode, 0, said.stdout)
        seeds = self.slurm_run("seeds", **SHORT)
        seeds.submitted("--seeds", "3,5")
        self.forget_and_submit_again(seeds)
        runs = [SlurmRun(self.cluster, seeds.path / f"seed-{seed}", self.texts) for seed in (3, 5)]
        for run in runs:
            run.wait_until_ended()
        self.assert_road(runs[0])
        self.assertEqual(set(runs[1].states().values()), {"done"})
        self.assertNotEqual(runs[1].steps("pretrain"), runs[0].steps("pretrain"))
        self.assert_same_road(by_hand, self.straight, ["pretrain"])
        self.assert_told(seeds, "==== seed-3", "==== seed-5")

    def forget_and_submit_again(self, seeds):
        """As if `submit` had been killed between the notes of two seeds, and more than that: what waits is found again."""
        files = [seeds.path / f"seed-{seed}" / "slurm" / "jobs.json" for seed in (3, 5)]
        lists = [json.loads(file.read_text()) for file in files]
        for file, noted, num_kept in zip(files, lists, (3, 2)):
            file.write_text(json.dumps({**noted, "jobs": noted["jobs"][:num_kept]}))
        self.assertIn("it was in the queue", seeds.submitted("--seeds", "3,5"))
        for file, noted in zip(files, lists):
            again = json.loads(file.read_text())["jobs"]
            self.assertEqual([(j["what"], j["id"], j["after"]) for j in again], [(j["what"], j["id"], j["after"]) for j in noted["jobs"]])

    def test_6_rounds_are_jobs_that_go_on_and_a_gate_rejects(self):
        self.beside["go_round"].finish()

    def go_round(self):
        recipe = self.scratch / "gate.yaml"
        text = RECIPE.read_text().replace("    task: {kind: tagging}", "    gate: {}\n    task: {kind: tagging}")
        recipe.write_text(text + WITH_GATE)
        straight = Run(self.scratch / "straight-gate", self.texts)
        outcome = jobs.Job(["run", recipe, *settings(straight.values)]).wait()
        self.assert_exit(outcome, TARGET_NOT_MET)
        run = SlurmRun(self.cluster, self.scratch / "gate", self.texts, recipe, **{"phases.topic.slurm.ranks": 1})
        run.submitted()
        seeds = SlurmRun(self.cluster, self.scratch / "gate-seeds", self.texts, recipe)
        seeds.submitted("--seeds", "4,3")
        run.wait_for_step("pretrain", 5)
        self.cluster.say("scancel", "--batch", "--signal=USR1", run.id_of("phase pretrain (round 1)"))
        run.wait_until_ended()
        seed = SlurmRun(self.cluster, seeds.path / "seed-3", self.texts, recipe)
        seed.wait_until_ended()
        SlurmRun(self.cluster, seeds.path / "seed-4", self.texts, recipe).wait_until_ended()
        verdicts = [[r["verdict"] for r in json.loads((r.path / "decisions.json").read_text())["rounds"]]
                    for r in (run, straight, seed)]
        self.assertEqual(verdicts[0], verdicts[1], run.output())
        self.assertEqual(verdicts[2], verdicts[1], seed.output())
        self.assertEqual([verdict["kept"] for verdict in verdicts[0]][:2], [True, False])
        self.assertEqual(run.starts()[-1]["exit_code"], TARGET_NOT_MET, "and is not requeued for it")
        self.assertGreaterEqual(max(start["restart"] for start in run.starts()), 1)
        trained = [(use["name"], use["round"]) for r in json.loads((run.path / "decisions.json").read_text())["rounds"]
                   for use in r["phases"] if use["round"] == r["round"]]
        self.assertEqual(trained[:4], [("pretrain", 1), ("topic", 1), ("tags", 2), ("topic", 2)])
        self.assertEqual([r["what"] for r in run.records()],
                         ["prepare"] + [f"phase {name} (round {number})" for name, number in trained], "a job a phase")
        self.assertNotIn("stopped", run.told())
        self.assertIn("all is done", run.submitted())

    def test_6_trials_of_a_search_are_arrays_and_decide_as_one_job(self):
        self.beside["search"].finish()

    def search(self):
        recipe = self.search_recipe()
        values = {"phases.topic.stop.steps": 160}
        straight = RoundsRun(self.scratch / "straight-search", self.texts, recipe, **values)
        self.assert_exit(straight.go(ranks=None), TARGET_NOT_MET)
        run = SlurmRun(self.cluster, self.scratch / "search", self.texts, recipe,
                       **{**straight.values, "run_dir": self.scratch / "search", **values})
        run.submitted()
        (run.path / "slurm" / "02-tags.sbatch").write_text("no script\n")
        run.wait_until_ended()
        self.assert_told(run, "its last job could not submit the next one")
        run.submitted()
        folder = run.path / "round-2" / "03-topic" / "metrics.jsonl"
        until(lambda: folder.exists() and len(folder.read_text().split("\n")) > 8, lambda: f"the first trial; {run.told()}")
        self.assertIn("nothing to add", run.submitted())
        self.assert_told(run, "trial topic (round 2)", "trial topic (round 4)")
        self.cluster.say("scancel", "--batch", "--signal=USR1", run.id_of("trial topic (round 2)"))
        until(lambda: (run.path / "round-3" / "03-topic" / "metrics.jsonl").exists(), lambda: f"the next array; {run.told()}")
        for number in (3, 5):
            self.cluster.say("scancel", run.id_of(f"trial topic (round {number})"))
        run.wait_until_ended()
        self.assert_told(run, "the chain of jobs has stopped. trial topic (round 3): ", "`polyphase submit` goes on")
        run.submitted()
        run.wait_until_ended()
        kept = [json.loads((r.path / "decisions.json").read_text()) for r in (run, straight)]
        self.assertEqual(*kept, run.output())
        for used in straight.rounds()[-1]["folders"].values():
            files = [(r.path / used / "metrics.jsonl") for r in (run, straight)]
            losses = [[(x["step"], x["loss"]) for x in map(json.loads, f.read_text().splitlines()) if x["kind"] == "step"]
                      for f in files]
            self.assertEqual(*losses, used)
        self.assertEqual(run.starts()[-1]["exit_code"], TARGET_NOT_MET)
        trial = next(record["id"] for record in run.records() if record["what"] == "trial topic (round 2)")
        restarted = [start for start in run.starts() if start["array_job"] == trial]
        *stopped, last = [start["exit_code"] for start in restarted]  # stopped here, and perhaps preempted by another test's job
        self.assertEqual((set(stopped), last), ({75}, 0), run.records())

    def test_7_job_without_progress_stops_and_says_why(self):
        self.stuck.wait_until_ended()
        ends = [s["exit_code"] for s in self.stuck.starts()]
        self.assertEqual(ends[-1], NO_PROGRESS, ends)
        self.assertIn(len(ends), (4, 5), "one more where it was preempted in its last moment")
        self.assert_told(self.stuck, "was started again 3 times and got no further", "the chain of jobs has stopped")

    def test_8_time_that_ends_makes_it_save_requeue_and_go_on(self):
        self.timing.finish()
        self.assert_road(self.timed)
        ends = [(s["exit_code"], s["reason"]) for s in self.timed.starts()]
        self.assertTrue(any(code == 75 and "signal 10" in why for code, why in ends), ends)
        self.assertGreaterEqual(max(s["restart"] for s in self.timed.starts()), 1)

    def test_9_lost_node_costs_no_more_than_the_steps_since_the_last_checkpoint(self):
        run = self.slurm_run("lost", **SHORT)
        run.submitted()
        run.wait_for_step("pretrain", 12)
        for rank in (0, 1):  # which would else have come to the end before
            run.stop_rank(run.id_of("phase pretrain"), rank)
        self.cluster.lose_node()
        self.cluster.start_node()
        run.wait_until_ended()
        self.assert_road(run)
        starts = [s for s in run.starts() if s["job"] == run.id_of("phase pretrain")]
        self.assertEqual([s["exit_code"] for s in starts], [None, 0])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="polyphase-") as folder:
        try:
            with Cluster(Path(folder) / "slurm"):
                pass
        except NoSlurm as reason:
            print(f"SKIPPED, nothing of Slurm is tested here: {reason}", file=sys.stderr)
            sys.exit(SKIPPED)
    unittest.main()
