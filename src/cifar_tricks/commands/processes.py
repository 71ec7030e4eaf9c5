"""Commands of DVC, several at once, that end together when the user or the system says so."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from cifar_tricks.base import resources
from cifar_tricks.base.errors import Interrupted, UserError
from cifar_tricks.base.locks import AlreadyRunning, is_locked, sole_writer
from cifar_tricks.datasets.catalogue import NAMED
from cifar_tricks.parameters.protocol import dataset_spec
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.checks import check_dataset

# As a module: a script names its interpreter by a path that ends when the folder is moved.
DVC = (sys.executable, "-m", "dvc")
# Held by what starts DVC, whose own locks would let a second one begin and fail in the middle.
DVC_TMP = Path(".dvc/tmp")
DATA = ("data/dataset/train.safetensors", "data/augment.done")
# A training saves its state within seconds (signals.SECONDS_TO_STOP).
SECONDS_TO_END = 30.0
# How DVC tells that the system ended a stage, which leaves no message of its own.
KILLED = re.compile(r"exited with (?:-9|137)$")


class Commands:
    """Runs commands; ends all of them on SIGINT, SIGTERM and SIGHUP."""

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self.training_killed = False
        self._running: list[subprocess.Popen[str]] = []

    def run(self, command: Sequence[str], *, lines: bool = False) -> int:
        """Runs a command unless all are to end.

        Args:
            command: DVC's.
            lines: whether its output passes line by line, so that several can mix.

        Returns:
            Its exit code; 128 + the signal's number where it was not begun.
        """
        if self.stopped_by is not None:
            return 128 + self.stopped_by
        started = time.time()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE if lines else None,
            stderr=subprocess.STDOUT if lines else None,
            text=True,
            errors="replace",
        ) as process:
            self._running.append(process)
            if self.stopped_by is not None:  # the signal came while it was started
                self._end([process])
            for line in process.stdout or ():
                print(line, end="", flush=True)
                self.training_killed |= KILLED.search(line) is not None
            process.wait()
            self._running.remove(process)
        code = process.returncode
        # What DVC printed to a terminal was not read; a killed training leaves its lock file.
        self.training_killed |= code == -signal.SIGKILL or bool(code and _left_behind(started))
        return code

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Within it signals end the commands instead of this process."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        self.stopped_by = number
        self._end(self._running)

    @staticmethod
    def _end(running: Sequence[subprocess.Popen[str]]) -> None:
        # DVC ignores Ctrl-C while a stage runs, and with --keep-going it then begins the next one.
        # So it is held where it waits for its stage, and ended when the stage has saved its state.
        held: list[subprocess.Popen[str]] = []
        stages: list[psutil.Process] = []
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                children = psutil.Process(process.pid).children(recursive=True)
                if children:
                    process.send_signal(signal.SIGSTOP)
                    children = psutil.Process(process.pid).children(recursive=True)
                    held.append(process)
                    stages += children
                else:
                    process.send_signal(signal.SIGINT)
        for stage in stages:
            with contextlib.suppress(psutil.NoSuchProcess):
                stage.send_signal(signal.SIGINT)
        end = time.monotonic() + SECONDS_TO_END
        while any(_lives(stage) for stage in stages) and time.monotonic() < end:
            time.sleep(0.05)
        for process in held:
            process.kill()


def fetch_data(commands: Commands, params: Params) -> int:
    """Lets DVC bring the images, where they are missing or those of another data set; returns its
    exit code."""
    if all(Path(path).exists() for path in DATA) and _is_here(params):
        return 0
    return commands.run([*DVC, "repro", "augment"])


def _is_here(params: Params) -> bool:
    """Whether the images are those of the chosen scale; of a folder, which may have changed, only
    DVC knows."""
    try:
        check_dataset(params)
    except UserError:
        return False
    return dataset_spec(params) in NAMED


@contextlib.contextmanager
def running_alone(name: str) -> Iterator[Commands]:
    """Commands that signals end, while nobody else runs the same thing in this folder.

    Args:
        name: what the user calls it, such as ``make repro``.

    Raises:
        UserError: it runs here already.
        Interrupted: a signal ended them.
    """
    commands = Commands()
    try:
        with sole_writer(DVC_TMP / name.replace(" ", "-")), commands.ended_by_signals():
            yield commands
    except AlreadyRunning as running:
        raise UserError(
            f"{name} runs here already, as process {running.process}: wait for it"
        ) from running
    if commands.stopped_by is not None:
        raise Interrupted(commands.stopped_by, then=f"the next {name} goes on from here")
    if commands.training_killed:
        print(
            "error: a training was killed, most likely because memory ran out "
            f"({resources.memory() / 1e9:.1f} GB may be used here, a training takes up to 2): "
            f"{name} JOBS=1 goes on from the last state, one at a time",
            file=sys.stderr,
        )


def _left_behind(since: float) -> bool:
    """Whether a training that began after ``since`` (Unix time) ended without freeing its lock."""
    for holder in Path("resume/.locks").glob("*.pid"):
        with contextlib.suppress(FileNotFoundError):  # it has just ended as it should
            free = holder.stat().st_mtime >= since and not is_locked(Path("resume") / holder.stem)
            if free and holder.exists():
                return True
    return False


def _lives(process: psutil.Process) -> bool:
    """Also False where it has ended and its parent, which is held, has not been told yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
