# SPDX-License-Identifier: Apache-2.0
"""Jobs of Slurm of which a rank does nothing any more: the watchdog ends them, and their script has them go on."""
import os

from job import DONE, RECIPE, SOURCE
from slurm_run import SHORT, SlurmRun, until

WATCHDOG_SECONDS = 5


class StalledJobs:
    """What slurm_test.py's cases do beside others."""

    def stand_still_under_srun(self):
        self.let_rank_stand_still(1, "srun --mpi=pmix")

    def stand_still_under_mpirun(self):
        self.let_rank_stand_still(0, "mpirun --bind-to none")

    def let_rank_stand_still(self, rank, launch):
        recipe, text = self.scratch / f"pretrain-{rank}.yaml", RECIPE.read_text()
        recipe.write_text(text[:text.index("  - name: tags")])
        run = SlurmRun(self.cluster, self.scratch / f"still-{rank}", self.texts, recipe, **SHORT,
                       **{"slurm.launch": launch, "limits.watchdog": WATCHDOG_SECONDS})
        run.submitted()
        found = f"no rank got on for {WATCHDOG_SECONDS} s (limits.watchdog)"
        while found not in run.output():  # another test's job may preempt it before that
            run.wait_for_step("pretrain", len(run.metrics("pretrain")) + 5)
            known = len(run.starts())
            run.stop_rank(run.id_of("phase pretrain"), rank)
            until(lambda: found in run.output() or len(run.starts()) > known, lambda: f"the watchdog; {run.told()}")
        run.wait_until_ended()
        # It tells where it is every half second: it may have been stopped before.
        where = r"(phase pretrain, step \d+|before its first phase)"
        self.assertRegex(run.output(), rf"rank {rank} on \S+: {where}; DOES NOT RUN")
        self.assertRegex(run.output(), rf"rank {1 - rank} on \S+: phase pretrain, step \d+; waits for other ranks")
        self.walking.finish()
        self.assertEqual(set(run.states().values()), {"done"}, run.told() + run.output())
        self.assert_same_road(run, self.straight, ["pretrain"])
        starts = [s for s in run.starts() if s["job"] == run.id_of("phase pretrain")]
        self.assertEqual([s["exit_code"] for s in starts if "the watchdog ended it" in s["reason"]], [None])
        self.assertEqual(starts[-1]["exit_code"], DONE, "of the same job, which was requeued")

    def loop(self):
        """Two ranks that only count steps, started by the template; the job that was requeued ends."""
        folder = self.scratch / "loop"
        folder.mkdir()
        program, output = folder / "program", folder / "output"
        program.write_text(f"#!/bin/bash\nif grep -q limits.watchdog {output}; then echo 0 >\"$POLYPHASE_OUTCOME\"; exit; fi\n"
                           f"exec {os.environ['POLYPHASE_STALLED']} {folder} loop\n")
        program.chmod(0o755)
        said = self.cluster.run("sbatch", "--parsable", "--wait", "-n2", f"--output={output}",
                                SOURCE / "slurm" / "phase.sbatch", "recipe", "phase", cwd=folder, POLYPHASE=str(program))
        self.assertEqual(said.returncode, 0, said.stdout + output.read_text())
        self.assertRegex(output.read_text(), r"rank 1 on \S+: phase counting, step 3; IS BUSY BY ITSELF")
