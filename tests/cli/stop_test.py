# SPDX-License-Identifier: Apache-2.0
"""A job that is asked to stop saves, says so, exits 75, and goes on by the same command."""
import os
import signal
import time
import unittest

from job import DONE, INTERRUPTED, PATIENCE_SECONDS, RoadTest, lives

SLOWLY = {"checkpoint.every_steps": 0, "phases.pretrain.stop.steps": 40}


def signal_living(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class StopTest(RoadTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.straight = cls.new_run(cls, "straight", **SLOWLY)
        outcome = cls.straight.go()
        assert outcome.code == DONE, outcome

    def stop(self, run, ranks, phase, send, grace_seconds=0):
        job = run.start(ranks=ranks, grace_seconds=grace_seconds)
        self.assertTrue(job.freeze_when(lambda: len(run.steps(phase)) >= 3), "too fast")
        send(job)
        job.signal_ranks(signal.SIGCONT)
        return job.wait()

    def check_stop(self, name, ranks, number, to, heard=None, phases=("pretrain",)):
        """Sends the signal to the script, to mpirun or to a rank; `heard`: what the ranks get."""
        def send(job):
            pid = {"script": job.process.pid, "mpirun": job.mpirun()}.get(to)
            os.kill(job.ranks()[to] if pid is None else pid, number)

        run = self.new_run(name, **SLOWLY)
        for phase in phases:
            outcome = self.stop(run, ranks, phase, send)
            self.assert_exit(outcome, INTERRUPTED)
            self.assertEqual(run.states()[phase], "interrupted")
            self.assertIn(f"signal {int(heard or number)}", run.reason(phase))
            self.assert_says(outcome, "the same command goes on")
            self.assertEqual(run.checkpoints(phase)[-1].name,
                             f"step-{run.steps(phase)[-1][0]:06d}")
        self.assert_exit(run.go(ranks=ranks), DONE)
        self.assert_same_road(run, self.straight)

    def test_user_signals_to_mpirun_stop_and_save(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            with self.subTest(signal=number.name):
                self.check_stop(f"mpirun-{number.name}", 2, number, to="mpirun")

    def test_signals_to_the_launching_script_stop_and_save(self):
        """Whatever is sent, it hands SIGUSR1 on, since mpirun has statuses of its own for the rest."""
        self.check_stop("script-SIGTERM", 2, signal.SIGTERM, to="script", heard=signal.SIGUSR1,
                        phases=("pretrain", "topic"))
        for number in (signal.SIGINT, signal.SIGUSR1):
            with self.subTest(signal=number.name):
                self.check_stop(f"script-{number.name}", 2, number, to="script",
                                heard=signal.SIGUSR1)

    def test_a_signal_before_the_ranks_run_is_not_lost(self):
        """mpirun has nobody to hand it to yet, or dies of it."""
        run = self.new_run("early", **{**SLOWLY, "phases.pretrain.stop.steps": 100000})
        for delay in (0, 0.05, 0.1, 0.15, 0.2, 0.3):
            job = run.start()
            self.assertTrue(job.wait_until(lambda: job.mpirun() is not None))
            time.sleep(delay)
            job.process.send_signal(signal.SIGTERM)
            self.assert_exit(job.wait(), INTERRUPTED)

    def test_launcher_that_ends_the_job_loses_nothing(self):
        """Asked to end, Open MPI's mpirun sends SIGTERM, soon kills, and has a status of its own."""
        run = self.new_run("ended", **SLOWLY)
        outcome = self.stop(run, 2, "pretrain", lambda job: os.kill(job.mpirun(), signal.SIGTERM),
                            grace_seconds=1)
        self.assertNotEqual(outcome.code, DONE)
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_a_killed_launching_script_leaves_nobody_behind(self):
        run = self.new_run("killed", **SLOWLY)
        left = []

        def kill_script(job):
            left.extend([job.mpirun(), *job.ranks()])
            job.process.kill()

        self.stop(run, 2, "pretrain", kill_script)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(lives(pid) for pid in left):
            # What is frozen cannot notice that its launcher is gone.
            for pid in left:
                signal_living(pid, signal.SIGCONT)
            self.assertLess(time.monotonic(), deadline, "ranks live on without their launcher")
            time.sleep(0.01)
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)

    def test_signal_to_one_rank_stops_all_and_saves(self):
        self.check_stop("rank", 2, signal.SIGTERM, to=1)

    def test_a_program_without_launcher_stops_and_saves(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                self.check_stop(f"alone-{number.name}", None, number, to=0)

    def test_wall_time_limit_stops_and_saves(self):
        run = self.new_run("wall", **SLOWLY)
        for _ in range(2):
            outcome = run.go(**{"limits.wall_time": 0.05})
            self.assert_exit(outcome, INTERRUPTED)
            self.assert_says(outcome, "stopped and saved (wall-time limit of 0.05 s)")
        self.assert_exit(run.go(), DONE)
        self.assert_same_road(run, self.straight)


if __name__ == "__main__":
    unittest.main()
