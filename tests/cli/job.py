# SPDX-License-Identifier: Apache-2.0
"""Starts the program on small made-up texts, as a user does, and reads what it leaves behind.

The environment names the program (POLYPHASE_PROGRAM) and the source folder (POLYPHASE_SOURCE).
"""
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = os.environ["POLYPHASE_PROGRAM"]
SOURCE = Path(os.environ["POLYPHASE_SOURCE"])
RECIPE = SOURCE / "inputs" / "tiny.yaml"
PATIENCE_SECONDS = 120  # after which a job counts as hung

DONE, USAGE, DATA, SYSTEM, INTERRUPTED, TARGET_NOT_MET = 0, 64, 65, 74, 75, 80

NOUNS = {"animal": ["cat", "dog", "bird", "horse"], "person": ["king", "queen", "child", "nurse"],
         "thing": ["stone", "tree", "house", "river"]}
ADJECTIVES = ["old", "small", "big", "red", "new"]
VERBS = ["takes", "finds", "sees", "likes", "makes"]


def sentence(draw):
    """Words of a made-up sentence, and the class of its first noun."""
    kind, other = draw.choice(sorted(NOUNS)), draw.choice(sorted(NOUNS))
    words = ["the", draw.choice(ADJECTIVES), draw.choice(NOUNS[kind]), draw.choice(VERBS), "a",
             draw.choice(ADJECTIVES), draw.choice(NOUNS[other]), "."]
    return words, kind


def tags_of(words):
    nouns = {noun for names in NOUNS.values() for noun in names}
    return ["B-noun" if word in nouns else "O" for word in words]


def write_texts(folder, seed=11):
    """The files that inputs/tiny.yaml names."""
    draw = random.Random(seed)
    documents = [[" ".join(sentence(draw)[0]) for _ in range(draw.randint(1, 4))]
                 for _ in range(300)]
    (folder / "text.txt").write_text("\n\n".join("\n".join(d) for d in documents) + "\n")
    for part, size in (("train", 200), ("valid", 40), ("test", 40)):
        made = [sentence(draw) for _ in range(size)]
        (folder / f"topics-{part}.tsv").write_text(
            "".join(f"{' '.join(words)}\t{kind}\n" for words, kind in made))
        (folder / f"tags-{part}.conll").write_text("\n".join(
            "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags_of(words)))
            for words, _ in made))


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        self.text = out + err

    def __repr__(self):
        return f"exit status {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def children_of(pid, name=None):
    """Process numbers of the children that live, of those that run the program `name` if given."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            for child in (task / "children").read_text().split():
                if name in (None, Path(f"/proc/{child}/comm").read_text().strip()):
                    found.append(int(child))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return sorted(found)


def lives(pid):
    """Whether the process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Job:
    """One started job; with `ranks` None the program runs without mpirun."""

    def __init__(self, arguments, ranks=None, cwd=None, program=PROGRAM, grace_seconds=0,
                 stdin=subprocess.DEVNULL):
        command = [str(program), *map(str, arguments)]
        if ranks is not None:
            command = [str(SOURCE / "scripts" / "mpi"), str(ranks), *command]
        self.under_mpirun = ranks is not None
        self.num_ranks = ranks or 1
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        # Open MPI lets ranks that it ends live on for a second; tests have no time for that. And
        # other tests run beside this one, so ranks that wait must not keep the cores from them.
        environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_mpi_yield_when_idle="1",
                           OMPI_MCA_odls_base_sigkill_timeout=str(grace_seconds))
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.err, cwd=cwd,
                                        stdin=stdin, env=environment)

    def mpirun(self):
        """Process number of mpirun, which scripts/mpi runs as its child; None when there is none."""
        return next(iter(children_of(self.process.pid, "mpirun")), None)

    def ranks(self):
        """Process numbers of the ranks, those that live."""
        if not self.under_mpirun:
            return [self.process.pid]
        mpirun = self.mpirun()
        return [] if mpirun is None else children_of(mpirun)

    def signal_ranks(self, number):
        for pid in self.ranks():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def wait_until(self, condition):
        """Polls until the condition holds; false when the job ended before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if self.process.poll() is not None:
                return condition()
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still waiting after {PATIENCE_SECONDS} s: {self.wait()}")
            time.sleep(0.001)
        return True

    def freeze_when(self, condition):
        """Stops all ranks at a moment at which the condition surely holds; false: it never did."""
        while self.wait_until(condition):
            self.signal_ranks(signal.SIGSTOP)
            if self.process.poll() is not None:
                return False
            if condition() and len(self.ranks()) == self.num_ranks:
                return True
            self.signal_ranks(signal.SIGCONT)
        return False

    def kill(self):
        """The whole job at once: launchers and ranks."""
        pids = [*self.ranks(), self.mpirun() or self.process.pid, self.process.pid]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def wait(self, seconds=PATIENCE_SECONDS):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = f"hung for {seconds} s; killed: {self.process.wait()}"
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        return Outcome(code, *texts)


def polyphase(*arguments, ranks=None, cwd=None, text=None):
    """One job from start to end; it reads `text` from its standard input."""
    if text is None:
        return Job(arguments, ranks, cwd).wait()
    with tempfile.TemporaryFile() as stdin:
        stdin.write(text if isinstance(text, bytes) else text.encode())
        stdin.seek(0)
        return Job(arguments, ranks, cwd, stdin=stdin).wait()


def settings(values):
    """--set options: {"checkpoint.every_steps": 2} …"""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def read_lines(path):
    """Records of a metrics file; a line that is being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


class Run:
    """A run folder and the settings that every job on it uses."""

    command, options = "run", ()
    recipe = RECIPE
    ranks = 2  # of a job that is not told how many

    def __init__(self, path, texts, **values):
        self.path = Path(path)
        self.values = {"folder": texts, "run_dir": self.path, **values}

    def arguments(self, *more, **values):
        return [self.command, self.recipe, *settings({**self.values, **values}), *self.options, *more]

    def start(self, *more, grace_seconds=0, **values):
        ranks = values.pop("ranks", self.ranks)
        return Job(self.arguments(*more, **values), ranks, grace_seconds=grace_seconds)

    def go(self, *more, **values):
        return self.start(*more, **values).wait()

    def status(self):
        return json.loads((self.path / "status.json").read_text())

    def states(self):
        return {phase["name"]: phase["state"] for phase in self.status()["phases"]}

    def reason(self, phase):
        return {p["name"]: p["reason"] for p in self.status()["phases"]}[phase]

    def phase_folder(self, phase):
        return next(iter(self.path.glob(f"round-1/*-{phase}")), self.path / "none")

    def metrics(self, phase):
        return read_lines(self.phase_folder(phase) / "metrics.jsonl")

    def steps(self, phase):
        """What a step must give again when it is run again."""
        return [(r["step"], r["loss"], r["losses"], r["learning_rate"], r["grad_norm"], r["tokens"])
                for r in self.metrics(phase) if r["kind"] == "step"]

    def checkpoints(self, phase):
        return sorted(p for p in (self.phase_folder(phase) / "checkpoints").glob("step-*")
                      if not p.suffix)

    def half_written(self, phase):
        return list((self.phase_folder(phase) / "checkpoints").glob("step-*.tmp"))

    def digests(self, phase):
        """Digests of all parts of the newest checkpoint's tensors."""
        manifest = json.loads((self.checkpoints(phase)[-1] / "manifest.json").read_text())
        return {name: sorted((part["begin"], part["digest"]) for part in tensor["parts"])
                for name, tensor in manifest["tensors"].items()}

    def copy_to(self, path):
        shutil.copytree(self.path, path, symlinks=True)
        return Run(path, self.values["folder"],
                   **{k: v for k, v in self.values.items() if k not in ("folder", "run_dir")})


class RoadTest(unittest.TestCase):
    """A test in a scratch folder of its class, with texts in it."""

    PHASES = ("pretrain", "tags", "topic")
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.scratch = Path(tempfile.mkdtemp(prefix="polyphase-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.texts = cls.scratch / "texts"
        cls.texts.mkdir()
        write_texts(cls.texts)

    def new_run(self, name, **values):
        return Run(self.scratch / name, self.texts, **values)

    def finished(self, run, *more, **how):
        """The run, at its end: trained where no test of the class has done so before."""
        if not (run.path / "status.json").exists():
            self.assert_exit(run.go(*more, **how), DONE)
        return run

    def assert_exit(self, outcome, code):
        self.assertEqual(outcome.code, code, outcome)

    def assert_says(self, outcome, *words):
        for word in words:
            self.assertIn(str(word), outcome.text)

    def assert_same_road(self, run, straight, phases=PHASES):
        for phase in phases:
            self.assertEqual(run.steps(phase), straight.steps(phase), phase)
            self.assertEqual(run.digests(phase), straight.digests(phase), phase)
