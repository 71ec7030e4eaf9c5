"""``predictions.csv.gz``: the predicted class of every test image, for every net."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.evidence.study_results import Result


def read_predictions(path: Path, num_classes: int) -> pd.DataFrame:
    """Reads what the stage ``evaluate`` wrote.

    Args:
        path: the file.
        num_classes: of the data set.

    Returns:
        A row per test image in the official order: ``label`` and ``<key>/seed=<n>``, classes from 0
        on.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        frame = pd.read_csv(path, index_col="image")
        assert "label" in frame and frame.min().min() >= 0 and frame.max().max() < num_classes
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: dvc repro evaluate writes it") from error
    except (ValueError, TypeError, OSError, EOFError, zlib.error, AssertionError) as error:
        raise UserError(f"{path} is damaged: dvc repro --force --single-item evaluate") from error
    return frame


def predicted_classes(predictions: pd.DataFrame, result: Result) -> pd.DataFrame:
    """The predictions of all seeds below each other.

    Returns:
        Columns actual and predicted (classes), one row per seed and test image; empty
        where the variant has a flaw or was not predicted.
    """
    columns = [f"{result.key}/seed={seed}" for seed in result.seeds]
    if result.flaw or not set(columns) <= set(predictions.columns):
        return pd.DataFrame({"actual": [], "predicted": []}, dtype=int)
    parts = [
        pd.DataFrame({"actual": predictions["label"], "predicted": predictions[column]})
        for column in columns
    ]
    return pd.concat(parts, ignore_index=True)


def class_accuracies(
    predictions: pd.DataFrame, result: Result, names: Sequence[str]
) -> dict[str, float]:
    """Share of each class's test images that were recognised, mean over seeds.

    Args:
        predictions: of :func:`read_predictions`.
        result: of the variant.
        names: of the classes.

    Returns:
        By class name, in the order of the labels; empty where there are no predictions, and
        without the classes that have no test image.
    """
    pairs = predicted_classes(predictions, result)
    right = (pairs["actual"] == pairs["predicted"]).groupby(pairs["actual"]).mean()
    return {names[int(label)]: float(share) for label, share in right.items()}


def right_answers(
    predictions: pd.DataFrame, result: Result, seeds: tuple[int, ...] | None = None
) -> np.ndarray:
    """Which test images the variant got right.

    Args:
        predictions: of :func:`read_predictions`.
        result: of the variant.
        seeds: some of its seeds; None for all.

    Returns:
        bool (seeds, images); (0, images) where it has a flaw or was not predicted.
    """
    chosen = result.seeds if seeds is None else seeds
    columns = [f"{result.key}/seed={seed}" for seed in chosen]
    if result.flaw or not set(columns) <= set(predictions.columns):
        return np.empty((0, len(predictions)), dtype=bool)
    right: np.ndarray = (predictions[columns].to_numpy() == predictions[["label"]].to_numpy()).T
    return right
