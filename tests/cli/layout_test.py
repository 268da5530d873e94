# SPDX-License-Identifier: Apache-2.0
"""A checkpoint goes on under any layout of ranks: tensor × pipeline × data."""
import os
import signal
import unittest

from job import DONE, INTERRUPTED, RoadTest

# Products are summed in another order when the tensor-parallel size changes; float32 sums of some
# hundred terms differ by less than this, also after the steps that follow here.
TENSOR_TOLERANCE = 1e-4


class LayoutTest(RoadTest):
    VALUES = {"checkpoint.every_steps": 0}

    def straight_and_stopped(self, name, ranks, tensor, **values):
        """The same phase twice: once to its end, and once stopped in the middle."""
        values = {"parallel.tensor": tensor, **values}
        straight = self.new_run(f"straight-{name}", **self.VALUES)
        self.assert_exit(straight.go("--phase", "pretrain", ranks=ranks, **values), DONE)
        stopped = self.new_run(f"stopped-{name}", **self.VALUES)
        job = stopped.start("--phase", "pretrain", ranks=ranks, **values)
        self.assertTrue(job.freeze_when(lambda: len(stopped.steps("pretrain")) >= 7))
        os.kill(job.ranks()[0], signal.SIGUSR1)
        job.signal_ranks(signal.SIGCONT)
        self.assert_exit(job.wait(), INTERRUPTED)
        self.assertLess(len(stopped.steps("pretrain")), len(straight.steps("pretrain")))
        return straight, stopped

    def go_on(self, stopped, ranks, tensor, **values):
        words = [str(word) for word in (stopped.path.name, "on", ranks, tensor, *values.values())]
        run = stopped.copy_to(self.scratch / "-".join(words))
        self.assert_exit(run.go("--phase", "pretrain", ranks=ranks,
                                **{"parallel.tensor": tensor, **values}), DONE)
        return run

    def assert_close(self, run, straight):
        mine, theirs = run.steps("pretrain"), straight.steps("pretrain")
        self.assertEqual(len(mine), len(theirs))
        for (step, loss, *_), (_, expected, *_) in zip(mine, theirs):
            self.assertLessEqual(abs(loss - expected), TENSOR_TOLERANCE * expected, f"step {step}")

    def test_checkpoint_of_two_tensor_ranks_continues_on_any_layout(self):
        straight, stopped = self.straight_and_stopped("tensor", ranks=2, tensor=2)
        two_by_two = self.go_on(stopped, ranks=4, tensor=2)
        self.assertEqual(two_by_two.steps("pretrain"), straight.steps("pretrain"))
        one = self.go_on(stopped, ranks=None, tensor=1)
        self.assert_close(one, straight)
        two_data = self.go_on(stopped, ranks=2, tensor=1)
        self.assertEqual(two_data.steps("pretrain"), one.steps("pretrain"))
        four_tensor = self.go_on(stopped, ranks=4, tensor=4)
        self.assert_close(four_tensor, straight)

    def test_rows_are_divided_or_not_from_checkpoint_to_checkpoint(self):
        divided = {"parallel.sequence": "true"}
        straight, stopped = self.straight_and_stopped("rows", ranks=2, tensor=2)
        on_two = self.go_on(stopped, ranks=2, tensor=2, **divided)
        self.assert_close(on_two, straight)
        # What the ranks sum in parts is not what each sums whole.
        self.assertNotEqual(on_two.digests("pretrain"), straight.digests("pretrain"))
        two_by_two = self.go_on(stopped, ranks=4, tensor=2, **divided)
        self.assertEqual(two_by_two.steps("pretrain"), on_two.steps("pretrain"))
        self.assert_close(self.go_on(stopped, ranks=4, tensor=4, **divided), straight)
        # One tensor-parallel rank has all rows.
        self.assertEqual(self.go_on(stopped, ranks=2, tensor=1, **divided).steps("pretrain"),
                         self.go_on(stopped, ranks=None, tensor=1).steps("pretrain"))

        # The other way round.
        straight, stopped = self.straight_and_stopped("divided", ranks=2, tensor=2, **divided)
        again = self.go_on(stopped, ranks=2, tensor=2, **divided)
        self.assertEqual(again.steps("pretrain"), straight.steps("pretrain"))
        self.assert_close(self.go_on(stopped, ranks=2, tensor=2), straight)
        self.assert_exit(straight.go(ranks=2, **{"parallel.tensor": 2, **divided}), DONE)
        self.assertEqual(set(straight.states().values()), {"done"})

    def test_data_parallel_ranks_come_and_go_to_the_last_bit(self):
        straight, stopped = self.straight_and_stopped("data", ranks=4, tensor=1)
        # And what is run again in the backward pass may change with them.
        for ranks, recompute in ((None, "full"), (2, "selective")):
            run = self.go_on(stopped, ranks, tensor=1, recompute=recompute)
            self.assertEqual(run.steps("pretrain"), straight.steps("pretrain"))
            if ranks is None:  # written by one, so each tensor is one part, as the straight run's are
                self.assertEqual(run.digests("pretrain"), straight.digests("pretrain"))

    def test_stages_come_and_go_to_the_last_bit(self):
        stages = {"parallel.pipeline": 2}
        straight, stopped = self.straight_and_stopped("stages", ranks=2, tensor=1, **stages)
        one = self.go_on(stopped, ranks=None, tensor=1)
        self.assertEqual(one.steps("pretrain"), straight.steps("pretrain"))
        beside_data = self.go_on(stopped, ranks=4, tensor=1, **stages, **{"parallel.shard": "gradients"})
        self.assertEqual(beside_data.steps("pretrain"), straight.steps("pretrain"))
        self.assert_close(self.go_on(stopped, ranks=4, tensor=2, **stages), straight)
        # Phases to come start from what stages have saved, and stages from what one rank has.
        self.assert_exit(beside_data.go(ranks=2, **stages), DONE)
        self.assert_exit(one.go(ranks=None), DONE)
        self.assert_same_road(beside_data, one, ("tags", "topic"))


if __name__ == "__main__":
    unittest.main()
