"""The folder of a variant's runs, ``runs/<scale>/<key>``: what lies where, written and read.

    run.json                    what was trained, and how far each seed came
    seed=<n>/model.safetensors  the kept weights
    seed=<n>/history.csv        the learning curves: step, epoch, split, loss, accuracy
    left_out.txt                in place of all: why a net of the user's is not trained so
    seed=<n>/answers.json       in place of weights: what a seed from ``records`` answered to the
                                test images where it was trained

Nothing here depends on the clock or on the checkout, so a rerun gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored, write_atomically
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US, read_signed, signed, to_json
from cifar_tricks.parameters.variants import folder_name
from cifar_tricks.runs.run import Run

# Of weights and answers a seed has one.
WEIGHTS, HISTORY, ANSWERS = "model.safetensors", "history.csv", "answers.json"
LEFT_OUT = "left_out.txt"
HISTORY_COLUMNS = ("step", "epoch", "split", "loss", "accuracy")


def run_folder(scale: str, key: str) -> Path:
    """``runs/<scale>/<folder of the variant>``."""
    return Path("runs") / scale / folder_name(key)


def seed_folder(scale: str, key: str, seed: int) -> Path:
    """``seed=<seed>`` in the variant's folder."""
    return run_folder(scale, key) / f"seed={seed}"


def record_file(scale: str, key: str, seed: int) -> Path:
    """Where the record of a seed lies, see :mod:`cifar_tricks.runs.records`."""
    return Path("records") / scale / key / f"seed={seed}.json"


def seeds_with_weights(run: Run) -> list[int]:
    """The seeds of a run whose weights are here, not just on the machine that trained them."""
    return [seed for seed, result in run.seeds.items() if not result.origin.recorded]


def write_run(run: Run, folder: Path) -> None:
    """Writes ``run.json`` into the folder, with the sha256 of all else that it says."""
    write_atomically(folder / "run.json", to_json(signed(asdict(run))))


def read_run(scale: str, key: str) -> Run:
    """Reads ``run.json`` of a variant.

    Raises:
        UserError: it is missing or not what :func:`write_run` wrote.
    """
    path = run_folder(scale, key) / "run.json"
    try:
        content = read_signed(path.read_bytes())
        return Run.from_json(content)
    except FileNotFoundError as error:
        remedy = f"dvc pull {path.parent} gets it, dvc repro trains what is missing"
        raise UserError(f"{path} is missing: {remedy}") from error
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {restored(path)}") from error


def write_history(path: Path, rows: Iterable[Mapping[str, Any]], *, durably: bool = True) -> str:
    """Writes learning curves as CSV; floats keep all their digits.

    Args:
        path: the file.
        rows: with the columns HISTORY_COLUMNS.
        durably: see :func:`write_atomically`.

    Returns:
        The sha256 of the file.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    write_atomically(path, content, durably=durably)
    return hashlib.sha256(content).hexdigest()


def read_history(run: Run, seed: int) -> str:
    """The learning curves of a seed, as the CSV that :func:`write_history` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = seed_folder(run.scale, run.key, seed) / HISTORY
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} is missing; {restored(path)}") from error
    if hashlib.sha256(content).hexdigest() != run.seeds[seed].history_sha256:
        raise UserError(f"{path} is damaged; {restored(path)}")
    return content.decode()


def read_answers(run: Run, seed: int) -> dict[str, Any]:
    """What a seed from ``records`` answered to the test images, see
    :mod:`cifar_tricks.evaluation.score`.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = seed_folder(run.scale, run.key, seed) / ANSWERS
    try:
        return read_signed(path.read_bytes())
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {restored(path)}") from error
