# SPDX-License-Identifier: Apache-2.0
"""A Slurm of one node in a scratch folder: munged, slurmctld and slurmd of its own, on ports of its own.

It needs the programs (Debian packages slurm-wlm and munge) and, as Slurm's daemons do, usually root.
"""
import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Slurm's usual patience is for networks and people; the figures here are for a test on one machine. Processors are
# counted higher than they are, so that jobs of several tests run side by side.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
KillWait=5
KillOnBadExit=1
SlurmdTimeout=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=10 PreemptMode=REQUEUE OverSubscribe=NO
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
PATIENCE_SECONDS = 30
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


class NoSlurm(Exception):
    """Why there is no Slurm to test with."""


def find(program):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which(program, path=path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def below(pid):
    """Process numbers of all that descends from it."""
    found, parents = [], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(stat.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    todo = [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


class Cluster:
    def __init__(self, folder, processors=8):
        self.folder = Path(folder)
        missing = [program for program in PROGRAMS if not find(program)]
        if missing:
            raise NoSlurm(f"not installed: {', '.join(missing)} (Debian packages slurm-wlm and munge)")
        self.host = socket.gethostname().split(".")[0]
        for name in ("state", "spool", "pmix"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.configuration = self.folder / "slurm.conf"
        self.configuration.write_text(CONFIGURATION.format(
            host=self.host, folder=self.folder, user=getpass.getuser(), processors=processors,
            controller_port=free_port(), node_port=free_port()))
        # What a killed step leaves in /tmp keeps a step of the same number from starting.
        (self.folder / "mpi.conf").write_text(f"PMIxCliTmpDirBase={self.folder}/pmix\n")
        self.environment = dict(os.environ, SLURM_CONF=str(self.configuration))
        for name in [n for n in self.environment if n.startswith(("SLURM_JOB", "SBATCH_"))]:
            del self.environment[name]
        self.daemons = {}

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))  # by way of all that cleans up
        try:
            self.start_munge()
            self.start("slurmctld", "-c", "-D")
            self.start("slurmd", "-D", "-N", self.host)
            self.wait_for(lambda: self.say("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed"),
                          "the node to be idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *ignored):
        self.stop()

    def start_munge(self):
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.folder.chmod(0o711)
        options = {"key-file": key, "socket": self.folder / "munge.socket",
                   "pid-file": self.folder / "munge.pid", "log-file": self.folder / "munge.log",
                   "seed-file": self.folder / "munge.seed"}
        self.start("munged", "--foreground", "--force", "--num-threads=4",
                   *(f"--{name}={value}" for name, value in options.items()))
        self.wait_for((self.folder / "munge.socket").exists, "munged to listen")

    def start(self, name, *arguments):
        out = open(self.folder / f"{name}.out", "ab")
        # A group of its own: what hits the test (Ctrl-C) is not for the daemons, which it stops itself. Those of a test that is
        # killed are killed with it.
        self.daemons[name] = subprocess.Popen([find(name), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=out,
                                              stderr=out, env=self.environment, start_new_session=True,
                                              preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        out.close()

    def wait_for(self, condition, what, seconds=PATIENCE_SECONDS):
        deadline = time.monotonic() + seconds
        while not condition():
            for name, daemon in self.daemons.items():
                if daemon.poll() is not None:
                    raise NoSlurm(f"{name} ended with {daemon.returncode}: {self.last_words(name)}")
            if time.monotonic() > deadline:
                raise NoSlurm(f"waited {seconds} s for {what}; {self.last_words('slurmctld')}")
            time.sleep(0.05)

    def last_words(self, name):
        texts = [(self.folder / f"{name}.{kind}") for kind in ("out", "log")]
        return " / ".join(path.read_text(errors="replace")[-400:] for path in texts if path.exists())

    def say(self, *command):
        return self.run(*command).stdout

    def run(self, *command, cwd=None, **environment):
        return subprocess.run([find(str(command[0])) or str(command[0]), *map(str, command[1:])], text=True, cwd=cwd,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              env={**self.environment, **environment})

    def lose_node(self):
        """As if its power went: slurmd and all that it started, at once. slurmctld is told, as by whoever watches the nodes;
        to notice by itself it would take some minutes."""
        self.kill_node()
        self.say("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=lost")

    def kill_node(self):
        # All stand still before the first one dies, so that none can tell slurmctld how another ended.
        slurmd = self.daemons.pop("slurmd")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.node_processes(slurmd.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        slurmd.wait()

    def node_processes(self, slurmd):
        """Its own ones, those that keep its jobs, and those of the jobs."""
        return {slurmd, *below(slurmd), *self.job_processes()}

    def job_processes(self, job=""):
        """Of all jobs (or of one), with their keepers, which no parent leads to: told by what /proc shows of them."""
        pids, mark = set(), f"SLURM_CONF={self.configuration}".encode()
        of_job = f"SLURM_JOB_ID={job}".encode() + (b"\0" if job else b"")
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                text, pid = environ.read_bytes(), int(environ.parent.name)
                if mark in text and (self.name_of(pid) == "slurmstepd" or of_job in text):
                    pids.add(pid)
            except OSError:
                pass
        return pids

    @staticmethod
    def name_of(pid):
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    def start_node(self):
        self.start("slurmd", "-D", "-b", "-N", self.host)
        self.say("scontrol", "update", f"NodeName={self.host}", "State=RESUME")

    def stop(self):
        try:
            if "slurmd" in self.daemons:
                self.kill_node()
        finally:
            for name in ("slurmctld", "munged"):
                daemon = self.daemons.pop(name, None)
                if daemon is None:
                    continue
                daemon.kill()  # what they keep is in the scratch folder
                daemon.wait()
