"""What the choice of test images does to the figures: their noise, and choosing on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from cifar_tricks.evidence.answers import wilson
from cifar_tricks.evidence.effects import pool
from cifar_tricks.evidence.predictions import right_answers
from cifar_tricks.evidence.statistics import Interval
from cifar_tricks.evidence.study_results import Result, StudyResults

NEAR_DUPLICATES = Path(__file__).with_name("near_duplicates.json")


@dataclass(frozen=True, kw_only=True)
class SampledAccuracy:
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
    """CIFAR-10's test images, counted from 0, of which the training images hold a near-duplicate.

    Source: Barz & Denzler (2020), Do we train on test data? Purging CIFAR of near-duplicates.
    """
    return tuple(json.loads(NEAR_DUPLICATES.read_bytes())["test_images"])


def score_images(
    predictions: pd.DataFrame, result: Result, *, duplicates: Sequence[int]
) -> SampledAccuracy | None:
    """The variant's test accuracy with its sampling noise; None where it has a flaw.

    Args:
        predictions: of the test images.
        result: the variant.
        duplicates: the test images that have near-duplicates among the training images, as far as
            they are known.
    """
    right = right_answers(predictions, result)
    if not right.size:
        return None
    accuracy, total = float(right.mean()), len(predictions)
    kept = ~predictions.index.isin(duplicates)
    return SampledAccuracy(
        result=result,
        accuracy=accuracy,
        interval=wilson(round(accuracy * total), total),
        without_duplicates=float(right[:, kept].mean()),
    )


def optimism(study: StudyResults, predictions: pd.DataFrame) -> Optimism | None:
    """What choosing the best of all small nets on test images would promise too much; None where
    there are fewer than two nets."""
    small = [result for result in study.results.values() if result.variant.backbone is None]
    right = pool(predictions, small)
    return selection_optimism(right) if len(right) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """What choosing the best net on images promises, and what it keeps.

    Args:
        chosen: mean accuracy of the chosen net on the images that it was chosen on.
        honest: its mean accuracy on the other images.
        optimism: the first minus the second.
        std: of that difference over the random halves.
    """

    chosen: float
    honest: float
    optimism: float
    std: float


def selection_optimism(right: np.ndarray, *, splits: int = 1000, seed: int = 0) -> Optimism:
    """What choosing a net on test images promises too much.

    The images are halved at random; the net that is best on one half (the first of equal ones) is
    measured on the other, and the other way round.

    Args:
        right: which images each net got right, bool (nets, images).
        splits: how many random halves.
        seed: of the halves.

    Raises:
        ValueError: fewer than two nets or images.
    """
    nets, images = right.shape
    if nets < 2 or images < 2:
        raise ValueError(f"choosing needs two nets and two images, got {nets} and {images}")
    generator, half = np.random.default_rng(seed), images // 2
    order = np.argsort(generator.random((splits, images)), axis=1)
    first = np.zeros((splits, images), dtype=np.float32)
    np.put_along_axis(first, order[:, :half], 1.0, axis=1)
    counts = first @ right.T.astype(np.float32)
    totals = right.sum(1)
    chosen, honest = np.empty((2, splits)), np.empty((2, splits))
    sides = ((counts, half), (totals - counts, images - half))
    for side, (ours, size) in enumerate(sides):
        best = ours.argmax(1)[:, None]
        other, other_size = sides[1 - side]
        chosen[side] = np.take_along_axis(ours, best, 1)[:, 0] / size
        honest[side] = np.take_along_axis(other, best, 1)[:, 0] / other_size
    gaps = (chosen - honest).mean(0)
    return Optimism(
        chosen=float(chosen.mean()),
        honest=float(honest.mean()),
        optimism=float(gaps.mean()),
        std=float(gaps.std(ddof=1)) if splits > 1 else 0.0,
    )
