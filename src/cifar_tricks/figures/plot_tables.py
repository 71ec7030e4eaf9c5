"""The CSV files behind ``dvc plots``, in ``reports/<scale>/plots/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cifar_tricks.base.files import write_atomically
from cifar_tricks.evidence.curves import mean_curve, read_curves
from cifar_tricks.evidence.predictions import predicted_classes
from cifar_tricks.evidence.study_results import Result, StudyResults

SPLITS, VALUES = ("train", "validation"), ("loss", "accuracy")


def write_plot_tables(study: StudyResults, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes the table of every plot; each file is there even where it has no rows.

    ``validation.csv`` has a row per epoch, net and trick instead of a column per trick, so that
    dvc.yaml names no trick and a new one appears by itself.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>/plots``.
    """
    _write(_validation(study), folder / "validation.csv")
    _write(_curves(study.best), folder / "curves_best.csv")
    _write(_test_accuracies(study), folder / "test_accuracy.csv")
    _write(_confusion(study, predictions), folder / "confusion.csv")


def write_curves(result: Result, path: Path) -> None:
    """Writes the mean learning curves of one variant: epoch, then a column per split and value."""
    _write(_curves(result), path)


def _validation(study: StudyResults) -> pd.DataFrame:
    columns = ["epoch", "model", "trick", *VALUES]
    tables = [pd.DataFrame(columns=columns)]
    for result in study.group("tricks"):
        table = _means(result, "validation")
        tables.append(table.assign(model=result.variant.model, trick=result.variant.trick))
    return _concat(tables)[columns]


def _curves(result: Result | None) -> pd.DataFrame:
    columns = [f"{split}_{value}" for value in VALUES for split in SPLITS]
    if result is None:
        return pd.DataFrame(columns=["epoch", *columns])
    tables = [_means(result, split).set_index("epoch").add_prefix(f"{split}_") for split in SPLITS]
    return pd.concat(tables, axis=1).sort_index()[columns].reset_index()


def _means(result: Result, split: str) -> pd.DataFrame:
    curves = read_curves(result)
    means = {v: mean_curve(curves, split=split, value=v, seeds=result.seeds) for v in VALUES}
    return pd.DataFrame(means).rename_axis("epoch").reset_index()


def _test_accuracies(study: StudyResults) -> pd.DataFrame:
    rows = [
        (result.key, result.variant.model, result.variant.trick, result.mean("test_accuracy"))
        for result in study.results.values()
        if not result.flaw
    ]
    return pd.DataFrame(rows, columns=["variant", "model", "trick", "test_accuracy"])


def _confusion(study: StudyResults, predictions: pd.DataFrame) -> pd.DataFrame:
    if (best := study.best) is None:
        return pd.DataFrame(columns=["actual", "predicted"])
    # Of the first seed: DVC's template counts rows, and its counts should add up to the images.
    pairs = predicted_classes(predictions, best)[: len(predictions)]
    return pairs.map(lambda label: study.dataset.class_names[int(label)])


def _concat(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _write(table: pd.DataFrame, path: Path) -> None:
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
