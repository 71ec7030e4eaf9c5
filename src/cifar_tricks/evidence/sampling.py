"""What the choice of test images does to the figures: their noise, and choosing on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from cifar_tricks.analysis import pool
from cifar_tricks.predictions import right_answers
from cifar_tricks.results import Result, Study
from cifar_tricks.selection import Optimism, selection_optimism
from cifar_tricks.statistics import Interval, wilson

NEAR_DUPLICATES = Path(__file__).with_name("near_duplicates.json")


@dataclass(frozen=True, kw_only=True)
class TestScore:
    """The test accuracy of a variant and what it owes to the images.

    Args:
        result: the variant.
        accuracy: mean over its seeds.
        interval: Wilson's 95% interval of one net with this accuracy: how far another draw of as
            many test images would move it, the net being the same.
        without_duplicates: accuracy on the images that have no near-duplicate among the training
            images.
    """

    __test__ = False  # pytest looks for classes with such names

    result: Result
    accuracy: float
    interval: Interval
    without_duplicates: float


@cache
def near_duplicates() -> tuple[int, ...]:
    """Test images, counted from 0, of which the training images hold a near-duplicate.

    Source: Barz & Denzler (2020), Do we train on test data? Purging CIFAR of near-duplicates.
    """
    return tuple(json.loads(NEAR_DUPLICATES.read_bytes())["test_images"])


def score_images(predictions: pd.DataFrame, result: Result) -> TestScore | None:
    """The variant's test accuracy with its sampling noise; None where it has a flaw."""
    right = right_answers(predictions, result)
    if not right.size:
        return None
    accuracy, total = float(right.mean()), len(predictions)
    kept = ~predictions.index.isin(near_duplicates())
    return TestScore(
        result=result,
        accuracy=accuracy,
        interval=wilson(round(accuracy * total), total),
        without_duplicates=float(right[:, kept].mean()),
    )


def optimism(study: Study, predictions: pd.DataFrame) -> Optimism | None:
    """What choosing the best of all small nets on test images would promise too much; None where
    there are fewer than two nets."""
    groups = [result for result in study.results.values() if result.variant.group != "transfer"]
    right = pool(predictions, groups)
    return selection_optimism(right) if len(right) > 1 else None
