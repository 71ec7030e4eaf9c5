"""One seed of a variant from its plan to its end: what determines it, and the folder it lies in."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, write_atomically
from cifar_tricks.base.locks import AlreadyRunning, sole_writer
from cifar_tricks.base.signed_json import (
    NOT_WRITTEN_BY_US,
    differences,
    read_signed,
    signed,
    to_json,
)
from cifar_tricks.runs.folders import ANSWERS, HISTORY, WEIGHTS
from cifar_tricks.runs.plan import Training
from cifar_tricks.runs.run import SeedResult

RESULT = "result.json"

STATE = "state.safetensors"

ABOUT = "about.json"


@dataclass(kw_only=True, eq=False)
class Seed:
    """One seed of a training and its folder, where it trains and ends.

    Args:
        training: all that determines how it ends but its number.
        number: what every random number of it derives from.
        folder: holds its state while it trains, and what came of it; no other process uses it.
    """

    training: Training
    number: int
    folder: Path
    _result: SeedResult | None = field(default=None, init=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What must agree for its saved state to be taken up again."""
        return self.training.identity(self.number)

    @property
    def result(self) -> SeedResult | None:
        """How it ended; None where it has not. Its files are compared with their hashes once.

        Raises:
            UserError: what it left is damaged.
        """
        if self._result is None:
            self._result = finished_result(self.folder)
        return self._result

    @property
    def has_weights(self) -> bool:
        """Whether it ended, and not on the machine of a record."""
        return self.result is not None and not self.result.origin.recorded

    def begin(self) -> None:
        """Forgets how it ended, if it has: it is trained, or copied from elsewhere."""
        for name in (RESULT, ANSWERS):
            (self.folder / name).unlink(missing_ok=True)
        self._result = None

    def end(self, result: SeedResult) -> None:
        """Says that it is done; all else of it is in the folder already."""
        write_atomically(self.folder / RESULT, to_json(signed(asdict(result))))
        self._result = result


def finished_result(folder: Path) -> SeedResult | None:
    """How the training of this folder ended; None where it has not.

    Raises:
        UserError: what it left is damaged.
    """
    path, anew = folder / RESULT, f"to train this seed anew: rm -r {folder}"
    try:
        result = SeedResult.from_json(read_signed(path.read_bytes()))
    except FileNotFoundError:
        return None
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {anew}") from error
    check_files(folder, result, remedy=anew)
    return result


def check_files(folder: Path, result: SeedResult, *, remedy: str) -> None:
    """Compares what a training left with its hashes.

    Args:
        folder: where it lies.
        result: how the training ended.
        remedy: what to do where it is damaged.

    Raises:
        UserError: it is damaged.
    """
    path = folder / HISTORY
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != result.history_sha256:
            raise ValueError("its content does not match its hash")
        if result.origin.recorded:
            path = folder / ANSWERS
            read_signed(path.read_bytes())
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {remedy}") from error
    if result.origin.recorded:
        return
    path = folder / WEIGHTS
    if read_arrays(path, remedy=remedy).sha256 != result.weights_sha256:
        raise UserError(f"{path} is not what this training wrote; {remedy}")


@contextmanager
def locked(training: Training, numbers: Sequence[int]) -> Iterator[list[Seed]]:
    """Seeds of a training in their folders, which no other process uses meanwhile.

    Raises:
        AlreadyRunning: another process trains one of them.
    """
    with ExitStack() as locks:
        yield [locks.enter_context(_lock(training, number)) for number in numbers]


@contextmanager
def _lock(training: Training, number: int) -> Iterator[Seed]:
    """A seed in the folder that is the same for the same identity, and another for any other.

    It lies in ``resume`` and not in ``runs`` because DVC deletes a stage's outputs before it runs,
    and in the main checkout because the copies that DVC makes for queued experiments are deleted
    afterwards.
    """
    key, identity = training.variant.key, training.identity(number)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = Path("resume") / f"{key}-seed={number}-{digest}"
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(sole_writer(project_root() / path))
        except AlreadyRunning as running:
            if running.checkout == str(Path.cwd()):
                raise
            # Two queued experiments may need the same run at once: this copy trains its own.
            folder = stack.enter_context(sole_writer(path))
        if not (folder / ABOUT).exists():
            _tell_other_states(folder, f"{key}-seed={number}-*", identity)
            about = {"scale": training.scale, "key": key, "seed": number, "identity": identity}
            write_atomically(folder / ABOUT, to_json(about))
        yield Seed(training=training, number=number, folder=folder)


def _tell_other_states(folder: Path, pattern: str, identity: dict[str, Any]) -> None:
    """Tells of other states of a variant and seed, which are not taken up, each with the reason."""
    for path in sorted(folder.parent.glob(f"{pattern}/{ABOUT}")):
        if path.parent.name != folder.name:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                differing = differences(json.loads(path.read_bytes())["identity"], identity)
                print(
                    f"{path.parent} is not taken up: {differing}; to be rid of it, delete it",
                    flush=True,
                )
