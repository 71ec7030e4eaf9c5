"""The page's tables about test images: classes, sampling noise and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.evidence.cells import number, sampling_cells
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.study_results import Result
from cifar_tricks.parameters.protocol import is_cifar10
from cifar_tricks.report.page.comparisons import TableRow, link

NEAR = "without near-duplicates"


def confusion_rows(evidence: Evidence) -> list[TableRow]:
    """The confusion matrix in percent; empty without predictions."""
    if evidence.predicted_best is None:
        return []
    labels, shares = evidence.shown_classes, evidence.confusion
    names = evidence.study.dataset.class_names
    # Which may be the name of a class.
    head = "actual" if "actual" not in names else "actual class"
    return [
        {head: names[i], **{names[j]: f"{100 * shares[i, j]:.1f}" for j in labels}} for i in labels
    ]


def class_rows(evidence: Evidence) -> list[TableRow]:
    """Accuracy per class, a column per variant; empty without predictions."""
    if evidence.predicted_best is None:
        return []
    columns = evidence.classes.items()
    return [
        {"class": name, **{key: number(shares.get(name)) for key, shares in columns}}
        for name in map(evidence.study.dataset.class_names.__getitem__, evidence.shown_classes)
    ]


def sampling_rows(evidence: Evidence) -> list[TableRow]:
    """Noise of the test images, near-duplicates and calibration."""
    header = ("test accuracy", "Wilson's interval", NEAR, "calibration error")
    rows = []
    for key, score in evidence.sampled.items():
        result = evidence.study.results[key]
        row: TableRow = {"variant": link(result, key)}
        row |= dict(zip(header, sampling_cells(score, result), strict=True))
        rows.append(row if score else row | {"test accuracy": result.flaw or "missing"})
    if not is_cifar10(evidence.study.params):
        rows = [{name: row[name] for name in row if name != NEAR} for row in rows]
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
