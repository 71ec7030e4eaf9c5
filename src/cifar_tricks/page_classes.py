"""The page's data about test images: classes, sampling noise and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cifar_tricks.class_names import CLASS_NAMES
from cifar_tricks.errors import UserError
from cifar_tricks.evidence_tables import interval
from cifar_tricks.page_evidence import TableRow, link
from cifar_tricks.predictions import class_accuracies, predicted_classes
from cifar_tricks.report_tables import number
from cifar_tricks.results import Result
from cifar_tricks.sampling import score_images


def confusion(predictions: pd.DataFrame, result: Result) -> list[dict[str, Any]]:
    """Shares of each actual class by predicted class, all seeds together."""
    pairs = predicted_classes(predictions, result)
    counts = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)))
    np.add.at(counts, (pairs["actual"].to_numpy(), pairs["predicted"].to_numpy()), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        {
            "actual": actual,
            "predicted": predicted,
            "share": round(float(shares[i, j]), 5),
            "text": f"{100 * shares[i, j]:.0f}" if shares[i, j] >= 0.005 else "",
        }
        for i, actual in enumerate(CLASS_NAMES)
        for j, predicted in enumerate(CLASS_NAMES)
    ]


def confusion_rows(cells: Sequence[dict[str, Any]]) -> list[TableRow]:
    """The same as a table, in percent."""
    rows: dict[str, TableRow] = {name: {"actual": name} for name in CLASS_NAMES}
    for cell in cells:
        rows[cell["actual"]][cell["predicted"]] = f"{100 * cell['share']:.1f}"
    return [*rows.values()]


def class_rows(predictions: pd.DataFrame, results: Sequence[Result]) -> list[TableRow]:
    """Accuracy per class, a column per variant."""
    columns = {result.key: class_accuracies(predictions, result) for result in results}
    rows = []
    for name in CLASS_NAMES:
        row: TableRow = {"class": name}
        rows.append(row | {key: number(shares.get(name)) for key, shares in columns.items()})
    return rows


def sampling_rows(predictions: pd.DataFrame, results: Sequence[Result]) -> list[TableRow]:
    """Noise of the test images, near-duplicates and calibration."""
    rows = []
    for result in results:
        score = score_images(predictions, result)
        row: TableRow = {"variant": link(result, result.key)}
        row |= {"test accuracy": number(score.accuracy) if score else result.flaw or "missing"}
        row |= {"Wilson's interval": interval(score.interval if score else None, signed=False)}
        row |= {"without near-duplicates": number(score.without_duplicates if score else None)}
        rows.append(row | {"calibration error": number(result.mean("ece"))})
    return rows


def reliability(folder: Path, result: Result) -> list[dict[str, Any]]:
    """The bins of a variant's confidences, its seeds together.

    Raises:
        UserError: ``calibration.csv`` is missing or damaged.
    """
    path = folder / "calibration.csv"
    try:
        bins = pd.read_csv(path)
        own = bins[bins["key"] == result.key]
        return [*own[["images", "confidence", "accuracy"]].to_dict("records")]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is missing or damaged: dvc repro --force evaluate") from error
