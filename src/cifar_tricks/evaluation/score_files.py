"""What was scored, as files: ``metrics.json``, ``predictions.csv.gz`` and ``calibration.csv``."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cifar_tricks.base.files import gzipped, write_atomically
from cifar_tricks.evaluation.original import original_result
from cifar_tricks.evaluation.score import NUM_BINS, Calibration, Score
from cifar_tricks.parameters.protocol import is_cifar10
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.run import Run


def metrics(params: Params, runs: dict[str, Run], scores: Iterable[Score]) -> dict[str, Any]:
    """The content of ``metrics.json``: every variant with the values of all its seeds."""
    by_key: dict[str, list[Score]] = {key: [] for key in runs}
    for score in scores:
        by_key[score.key].append(score)
    return {
        "scale": params.scale,
        "variants": {
            key: _variant_metrics(runs[key], by_key[key]) | _original(params, key) for key in runs
        },
    }


def _variant_metrics(run: Run, scores: list[Score]) -> dict[str, Any]:
    results = [run.seeds[score.seed] for score in scores]
    hole = any(result.status == "diverged" for result in results)
    columns: dict[str, Iterable[float | None]] = {
        "test_accuracy": (score.accuracy for score in scores),
        "test_loss": (score.loss for score in scores),
        "validation_accuracy": (result.validation_accuracy for result in results),
        "validation_loss": (result.validation_loss for result in results),
        "train_accuracy": (result.train_accuracy for result in results),
        "train_loss": (result.train_loss for result in results),
        "ece": (score.calibration.error for score in scores),
    }
    if any(score.augmented is not None for score in scores):
        columns["augmented_test_accuracy"] = (score.augmented_accuracy for score in scores)
    return {
        "group": run.group,
        "model": run.model,
        "trick": run.trick,
        "seeds": [score.seed for score in scores],
        "status": [result.status for result in results],
        **{name: _values(values, hole=hole) for name, values in columns.items()},
        "num_parameters": run.num_parameters,
    }


def _original(params: Params, key: str) -> dict[str, Any]:
    """The original report's accuracy, under ``reference``; None where it has none."""
    original = original_result(key) if is_cifar10(params) else None
    return {"reference": original and {"test_accuracy": original["test_accuracy"]}}


def experiment_metrics(run: Run, scores: list[Score]) -> dict[str, Any]:
    """The few figures of one variant that `dvc exp show` lists: means over its seeds."""
    figures = _variant_metrics(run, scores)
    names = ("test_accuracy", "validation_accuracy", "train_accuracy", "test_loss")
    means = {name: figures[name]["mean"] for name in names}
    return {**means, "num_parameters": run.num_parameters, "num_seeds": len(scores)}


def _values(numbers: Iterable[float | None], *, hole: bool = False) -> dict[str, Any]:
    """All values and their mean; no mean over a hole (a diverged run or a missing value)."""
    values = list(numbers)
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if len(known) == len(values) and not hole else None
    return {"values": values, "mean": mean}


def write_predictions(path: Path, labels: np.ndarray, scores: Iterable[Score]) -> None:
    """Writes ``predictions.csv.gz``: a row per test image in the official order.

    Columns: ``image`` (its number), ``label``, then ``<key>/seed=<n>`` for every net: classes from
    0 on.
    """
    columns = {"image": np.arange(len(labels)), "label": labels}
    columns |= {f"{score.key}/seed={score.seed}": score.predictions for score in scores}
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    np.savetxt(text, np.stack([c.astype(np.int64) for c in columns.values()], 1), "%d", ",")
    write_atomically(path, gzipped(text.getvalue().encode()))


def write_calibration(path: Path, scores: Iterable[Score]) -> None:
    """Writes ``calibration.csv``: how sure and how right each variant was, its seeds together.

    Columns: ``key``, ``low`` and ``high`` (bounds of the bin), ``images`` in it, their mean
    ``confidence`` and ``accuracy``, all in [0, 1]; bins without images are left out.
    """
    by_key: dict[str, Calibration] = {}
    for score in scores:
        known = by_key.get(score.key)
        by_key[score.key] = score.calibration + known if known else score.calibration
    rows = ["key,low,high,images,confidence,accuracy"]
    for key, bins in by_key.items():
        for number, images in enumerate(bins.images):
            if images:
                bounds = f"{number / NUM_BINS:.4f},{(number + 1) / NUM_BINS:.4f}"
                means = f"{bins.confidence[number] / images:.6f},{bins.right[number] / images:.6f}"
                rows.append(f"{key},{bounds},{images},{means}")
    write_atomically(path, ("\n".join(rows) + "\n").encode())
