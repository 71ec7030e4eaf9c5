"""The page's tables about test images: classes, sampling noise and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.evidence.cells import number, sampling_cells
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.study_results import Result
from cifar_tricks.report.page.comparisons import TableRow, link
from cifar_tricks.training.recipe import CLASS_NAMES


def confusion_rows(evidence: Evidence) -> list[TableRow]:
    """The confusion matrix in percent; empty without predictions."""
    if evidence.predicted_best is None:
        return []
    rows: list[TableRow] = []
    for actual, shares in zip(CLASS_NAMES, evidence.confusion, strict=True):
        cells = [f"{100 * share:.1f}" for share in shares]
        rows.append({"actual": actual, **dict(zip(CLASS_NAMES, cells, strict=True))})
    return rows


def class_rows(evidence: Evidence) -> list[TableRow]:
    """Accuracy per class, a column per variant; empty without predictions."""
    if evidence.predicted_best is None:
        return []
    columns = evidence.classes.items()
    return [
        {"class": name, **{key: number(shares.get(name)) for key, shares in columns}}
        for name in CLASS_NAMES
    ]


def sampling_rows(evidence: Evidence) -> list[TableRow]:
    """Noise of the test images, near-duplicates and calibration."""
    header = ("test accuracy", "Wilson's interval", "without near-duplicates", "calibration error")
    rows = []
    for key, score in evidence.sampled.items():
        result = evidence.study.results[key]
        row: TableRow = {"variant": link(result, key)}
        row |= dict(zip(header, sampling_cells(score, result), strict=True))
        rows.append(row if score else row | {"test accuracy": result.flaw or "missing"})
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
        remedy = "dvc repro --force --single-item evaluate"
        raise UserError(f"{path} is missing or damaged: {remedy}") from error
