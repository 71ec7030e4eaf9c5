"""How much of the spread between seeds is a matter of when a training was stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cifar_tricks.evidence.statistics import CONFIDENCE, Interval
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.parameters.protocol import protocol

# Two seeds of a variant always lie on a line.
LEAST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class EpochRegression:
    """How test accuracy goes with the epoch of the kept weights, among seeds of the same variant.

    Args:
        runs: how many trainings.
        variants: how many variants these are of.
        correlation: Pearson's, of the deviations from the variant's means.
        interval: its 95% interval (Fisher's transformation; each variant's mean costs a degree of
            freedom).
        slope: change in test accuracy for weights that are kept one epoch later.
    """

    runs: int
    variants: int
    correlation: float
    interval: Interval
    slope: float


def regress_on_epoch(study: StudyResults) -> EpochRegression | None:
    """Over all variants that early stopping ends, that have a result and enough seeds; None where
    these are too few to say anything."""
    rule = protocol(study.params).early_stop_count
    pairs = [
        (epochs_kept(result), result.values("test_accuracy"))
        for result in study.results.values()
        if result.variant.backbone is None
        and result.variant.recipe.early_stop_count == rule is not None
        and len(result.values("test_accuracy")) >= LEAST_SEEDS
    ]
    return regress_within(pairs) if pairs else None


def epochs_kept(result: Result) -> list[float]:
    """After how many epochs each seed's kept weights were reached; empty where nothing ran."""
    if result.run is None:
        return []
    ends = (result.run.seeds[seed] for seed in result.seeds)
    return [end.best_step / result.run.steps_per_epoch for end in ends]


def regress_within(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> EpochRegression | None:
    """The regression within groups.

    Args:
        pairs: of each variant, the epochs and the accuracies of its seeds, equally many.

    Returns:
        None where nothing varies or fewer than four degrees of freedom are left.
    """
    epochs, accuracies = (
        np.concatenate([np.asarray(values) - np.mean(values) for values in side])
        for side in zip(*pairs, strict=True)
    )
    free = len(epochs) - len(pairs) + 1
    varies = min(np.ptp(epochs), np.ptp(accuracies)) > 0
    if not varies or free < 4:
        return None
    covariance = float(epochs @ accuracies)
    correlation = covariance / math.sqrt(float(epochs @ epochs) * float(accuracies @ accuracies))
    middle = math.atanh(max(min(correlation, 1 - 1e-12), 1e-12 - 1))
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) / math.sqrt(free - 3)
    return EpochRegression(
        runs=len(epochs),
        variants=len(pairs),
        correlation=correlation,
        interval=Interval(low=math.tanh(middle - half), high=math.tanh(middle + half)),
        slope=covariance / float(epochs @ epochs),
    )
