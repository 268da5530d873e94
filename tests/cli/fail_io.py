# SPDX-License-Identifier: Apache-2.0
"""Jobs of which calls to the file system fail, by the library that fail_io.c becomes (POLYPHASE_FAIL_IO)."""
import errno
import os
import shlex

from job import PROGRAM, Job

LIBRARY = os.environ["POLYPHASE_FAIL_IO"]

# What can happen to a call, by its name in the library's log.
FATES = {"open": [errno.EMFILE, errno.ENOSPC, "kill"],
         "write": [errno.ENOSPC, errno.EIO, "short", "torn"],
         "reserve": [errno.ENOSPC, errno.EOPNOTSUPP, "kill"]}
OTHER_FATES = [errno.EIO, "kill"]


class Call:
    """A call that was counted: its number, from 1 on, its name and path."""

    def __init__(self, line):
        number, self.name, path = line.split(" ", 2)
        self.number, self.path = int(number), path.removesuffix(" (deleted)")

    def fates(self):
        return FATES.get(self.name, OTHER_FATES)


class FailIo:
    """What goes wrong on a run's folder: settings of the library as fail_io.c describes them, as at=7, how="kill"."""

    def __init__(self, run, scratch, **plan):
        self.run, self.log = run, scratch / f"{run.path.name}.log"
        self.program = scratch / f"{run.path.name}.sh"
        plan = {"folder": run.path, "log": self.log, **plan}
        words = [f"FAIL_IO_{key.upper()}={value}" for key, value in plan.items()]
        self.program.write_text(f"#!/bin/bash\nexec env LD_PRELOAD={shlex.quote(LIBRARY)} "
                                f'{shlex.join(words)} {shlex.quote(PROGRAM)} "$@"\n')
        self.program.chmod(0o755)

    def start(self, ranks=None):
        return Job(self.run.arguments(), ranks, program=self.program)

    def calls(self):
        """Those that were counted, in order: threads that call at once write their lines in any."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted((Call(line) for line in lines), key=lambda call: call.number)
