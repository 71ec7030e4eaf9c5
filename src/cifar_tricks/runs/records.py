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
from cifar_tricks.base.signed_json import (
    NOT_WRITTEN_BY_US,
    read_signed,
    signed,
    to_json,
)
from cifar_tricks.runs.folders import record_file
from cifar_tricks.runs.run import Run, SeedResult


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
