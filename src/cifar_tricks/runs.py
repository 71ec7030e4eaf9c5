"""The folder of a variant's runs, ``runs/<scale>/<key>``: what lies where, written and read.

    run.json                    what was trained, and how far each seed came
    seed=<n>/model.safetensors  the kept weights
    seed=<n>/history.csv        the learning curves: step, epoch, split, loss, accuracy

Nothing here depends on the clock or on the checkout, so a rerun gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.errors import UserError
from cifar_tricks.files import restored, write_atomically

HISTORY_COLUMNS = ("step", "epoch", "split", "loss", "accuracy")


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """How one training ended.

    Args:
        status: finished (all epochs), stopped early, or diverged (a loss was not finite).
        steps: training steps done.
        best_step: after which the kept weights were reached; 0 where none was better than chance.
        train_loss: of the kept weights over all training images, in nats; None if not finite.
        train_accuracy: likewise, in [0, 1].
        validation_loss: of the kept weights over the validation split; None if not finite.
        validation_accuracy: likewise.
        mean: channel means that the images are normalised with, in pixel values 0 to 255.
        std: channel standard deviations, likewise.
        weights_sha256: content hash of model.safetensors.
        history_sha256: of the bytes of history.csv.
    """

    status: str
    steps: int
    best_step: int
    train_loss: float | None
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_sha256: str
    history_sha256: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """The content of a ``run.json``.

    Args:
        scale: a key of ``scales`` in params.yaml.
        key: of the variant.
        group: reference, tricks, improve, combine, sensitivity or transfer.
        model: key of ``models``, or ``reference``; of ``transfer``, the backbone.
        trick: name of the trick or of the step.
        tricks: names of all tricks applied.
        recipe: the resolved recipe, as JSON values.
        num_parameters: trainable values of the net.
        steps_per_epoch: whole batches in the training images.
        device: cpu or cuda.
        device_name: the model of the processor or GPU.
        torch: version of PyTorch.
        code: sha256 over the source of every module of this package that the training loaded.
        data: content hashes of the training file, and of its copies and of the backbone's weights
            where they were used.
        seeds: the results by seed.
    """

    scale: str
    key: str
    group: str
    model: str
    trick: str
    tricks: tuple[str, ...]
    recipe: dict[str, Any]
    num_parameters: int
    steps_per_epoch: int
    device: str
    device_name: str
    torch: str
    code: str
    data: dict[str, str]
    seeds: dict[int, SeedResult]


def run_folder(scale: str, key: str) -> Path:
    """``runs/<scale>/<key>``; ``runs/<scale>/transfer`` for every backbone, because DVC has to know
    the folder before it is known which backbone can be had."""
    return Path("runs") / scale / ("transfer" if key.startswith("transfer-") else key)


def seed_folder(scale: str, key: str, seed: int) -> Path:
    """``seed=<seed>`` in the variant's folder."""
    return run_folder(scale, key) / f"seed={seed}"


def write_run(run: Run, folder: Path) -> None:
    """Writes ``run.json`` into the folder, with the sha256 of all else that it says."""
    content = asdict(run)
    write_atomically(folder / "run.json", to_json(content | {"sha256": _sha256(content)}))


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(to_json(content)).hexdigest()


def read_run(scale: str, key: str) -> Run:
    """Reads ``run.json`` of a variant.

    Raises:
        UserError: it is missing or not what :func:`write_run` wrote.
    """
    path = run_folder(scale, key) / "run.json"
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") != _sha256(content):
            raise ValueError("its content does not match its own hash")
        seeds = {
            int(seed): SeedResult(
                **{**result, "mean": tuple(result["mean"]), "std": tuple(result["std"])}
            )
            for seed, result in content["seeds"].items()
        }
        return Run(**{**content, "tricks": tuple(content["tricks"]), "seeds": seeds})
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: dvc repro trains what is missing") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged; {restored(path)}") from error


def write_history(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Writes learning curves as CSV; floats keep all their digits.

    Returns:
        The sha256 of the file.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_history(run: Run, seed: int) -> str:
    """The learning curves of a seed, as the CSV that :func:`write_history` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = seed_folder(run.scale, run.key, seed) / "history.csv"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} is missing; {restored(path)}") from error
    if hashlib.sha256(content).hexdigest() != run.seeds[seed].history_sha256:
        raise UserError(f"{path} is damaged; {restored(path)}")
    return content.decode()


def to_json(value: object) -> bytes:
    """The value as JSON text with a final newline, keys in their order.

    Raises:
        ValueError: a number is not finite: JSON has none of these.
    """
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def finite(value: float) -> float | None:
    """The value, or None (null in JSON) for NaN and infinity."""
    return value if math.isfinite(value) else None
