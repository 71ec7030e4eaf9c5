"""Finished seeds that travel with the repository: ``records/<scale>/<key>/seed=<n>.json``.

A record is all that came of one seed but its weights: what determined it, where it was trained, how
it ended, its learning curves, its answers to the test images. A training stage takes over a record
of what it would train itself, so that what one machine has done no other does again. Weights are a
hundred times as large and travel by DVC (``dvc push``), if at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.mistakes import choose_from, printable
from cifar_tricks.base.signed_json import (
    NOT_WRITTEN_BY_US,
    differences,
    read_signed,
    signed,
    to_json,
)
from cifar_tricks.runs.folders import ANSWERS, HISTORY, record_file
from cifar_tricks.runs.plan import Training
from cifar_tricks.runs.run import Run, SeedResult
from cifar_tricks.runs.seed import Seed
from cifar_tricks.training.call import MOVED, as_json
from cifar_tricks.training.loop import ENGINE
from cifar_tricks.tricks import trick_names


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished seed.

    Args:
        run: of this seed alone.
        history: its learning curves, the bytes of ``history.csv``.
        answers: see :mod:`cifar_tricks.evaluation.score`, JSON values.
    """

    run: Run
    history: bytes
    answers: dict[str, Any]

    @property
    def seed(self) -> int:
        """Of the run."""
        (seed,) = self.run.seeds
        return seed

    @property
    def result(self) -> SeedResult:
        """How the training ended."""
        return self.run.seeds[self.seed]


def write_record(record: Record, *, seconds: float | None) -> Path:
    """Writes the record of a seed.

    Args:
        record: of a training on this machine.
        seconds: its wall time, where it is known.

    Returns:
        The file.
    """
    origin = replace(record.result.origin, recorded=True, seconds=seconds)
    result = replace(record.result, origin=origin)
    run = replace(record.run, seeds={record.seed: result})
    content = {"run": asdict(run), "history": record.history.decode(), "answers": record.answers}
    path = record_file(run.scale, run.key, record.seed)
    write_atomically(path, to_json(signed(content)))
    return path


def read_record(path: Path) -> Record:
    """Reads what :func:`write_record` wrote.

    Raises:
        UserError: the file is damaged.
        FileNotFoundError: it is not there.
    """
    try:
        record = parse_record(path.read_bytes())
        if record_file(record.run.scale, record.run.key, record.seed) != path:
            raise ValueError("it is of another seed")
    except FileNotFoundError:
        raise
    except NOT_WRITTEN_BY_US as error:
        raise UserError(
            f"{path} is damaged; restore it with: git checkout -- {path}; or delete it, and the "
            "seed is trained here"
        ) from error
    return record


def parse_record(text: bytes) -> Record:
    """What :func:`write_record` wrote, from the bytes of the file.

    Raises:
        one of NOT_WRITTEN_BY_US: it is damaged.
    """
    content = read_signed(text)
    run = Run.from_json(content["run"])
    record = Record(run=run, history=content["history"].encode(), answers=dict(content["answers"]))
    if hashlib.sha256(record.history).hexdigest() != record.result.history_sha256:
        raise ValueError("its learning curves are not those of the training")
    return record


def take_record(seed: Seed) -> bool:
    """Puts the record of a seed, if there is one, into its folder as if it had ended there.

    A record of other parameters, data or engine is left alone, which is said in a line.

    Args:
        seed: locked.

    Returns:
        Whether there was one.

    Raises:
        UserError: it is damaged.
    """
    path = record_file(seed.training.scale, seed.training.variant.key, seed.number)
    try:
        record = read_record(path)
    except FileNotFoundError:
        return False
    if differing := difference(record, seed.training):
        print(f"{path} is not taken over: {differing}", flush=True)
        return False
    write_atomically(seed.folder / HISTORY, record.history)
    write_atomically(seed.folder / ANSWERS, to_json(signed(record.answers)))
    seed.end(record.result)
    print(f"{path}: taken over", flush=True)
    return True


def on_record(training: Training, seed: int) -> bool:
    """Whether there is a record of this very training.

    Raises:
        UserError: it is damaged.
    """
    try:
        path = record_file(training.scale, training.variant.key, seed)
        return not difference(read_record(path), training)
    except FileNotFoundError:
        return False


def difference(record: Record, training: Training) -> str:
    """What keeps a record from being the result of this training, "" for nothing.

    The machine and the version of PyTorch may differ, and the kind of device unless the scale names
    one: they move a result less than another seed
    does (docs/decisions/pipeline.md), and the report names them.

    Args:
        record: of a seed.
        training: what is to be trained.
    """
    run = record.run
    if unknown := unknown_name(run.recipe):
        return unknown
    found = {"recipe": run.recipe, "data": run.data, "engine": record.result.origin.engine}
    device = record.result.origin.device
    found |= {"test_images": record.answers.get("images"), "device": device}
    recipe, data = as_json(training.variant.recipe), training.data_hashes()
    wanted = {"recipe": recipe, "data": data, "engine": ENGINE, "test_images": training.test_images}
    return differences(found, wanted | {"device": training.device_of_scale or device})


def unknown_name(value: Any, where: str = "recipe") -> str:
    """Says what a recipe calls that this version of the package does not have, "" for nothing.

    Args:
        value: a recipe as JSON values, or a part of it.
        where: the keys that lead here.
    """
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    for key, part in value.items() if isinstance(value, dict) else ():
        place = f"{where}.{key}"
        if key == "target" and isinstance(part, str) and not _is_known(part):
            return f"{place} = {printable(part)}: not in this version; {choose_from(part, MOVED)}"
        if unknown := unknown_name(part, place):
            return unknown
    return ""


def _is_known(target: str) -> bool:
    tricks = {f"cifar_tricks.tricks.{name}" for name in trick_names()}
    ours = target.startswith("cifar_tricks.")
    return not ours or target in MOVED or target.rpartition(".")[0] in tricks
