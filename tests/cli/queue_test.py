# SPDX-License-Identifier: Apache-2.0
"""What `submit` and `status` make of a queue, without a Slurm: numbers of jobs are a cluster's own."""
import unittest

from fake_slurm import FakeSlurm
from job import DONE, USAGE, RoadTest, polyphase

STEMS = ["00-prepare", "01-pretrain", "02-tags", "03-topic"]


class QueueTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.slurm = FakeSlurm(cls.scratch / "slurm")

    def submitted(self, name):
        run = self.new_run(name)
        run.command = "submit"
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertEqual([stem for _, stem in self.slurm.jobs_of(run.path)], STEMS)
        return run

    def test_jobs_of_another_cluster_are_not_taken_for_those_of_the_same_numbers(self):
        run = self.submitted("run")
        self.assert_says(polyphase("status", run.path), "PENDING")
        self.assert_says(run.go(ranks=None), "nothing to add")
        known = self.slurm.jobs_of(run.path)
        self.slurm.move_to("there")
        other = self.submitted("other")
        self.assertEqual(self.slurm.jobs_of(other.path), known, "the same numbers")
        told = polyphase("status", run.path)
        self.assert_says(told, "on cluster here", "this is cluster there, whose queue does not have the jobs of cluster here")
        for words in ("PENDING", "gone", "stopped"):
            self.assertNotIn(words, told.text)
        outcome = run.go(ranks=None)
        self.assert_exit(outcome, USAGE)
        self.assert_says(outcome, "(prepare) was submitted on cluster here, and this is there", f"jobs.txt in {run.path}/slurm")
        self.assertEqual(self.slurm.jobs_of(run.path), [])
        (run.path / "slurm" / "jobs.json").unlink()
        self.assert_exit(run.go(ranks=None), DONE)
        self.assertEqual([stem for _, stem in self.slurm.jobs_of(run.path)], STEMS)


if __name__ == "__main__":
    unittest.main()
