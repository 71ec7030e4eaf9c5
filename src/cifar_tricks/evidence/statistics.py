"""Intervals and tests for runs that are paired by their seed; scipy has the distributions.

Nothing here knows of nets or files: numbers in, numbers out. docs/decisions/statistics.md gives the
reasons for each choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05
# All sign patterns of up to this many pairs are tried, of more a random sample.
MAX_EXACT_PAIRS = 16
RESAMPLES = 99_999
ROUNDING = 1e-9  # of the largest difference: means closer than this count as equal
MAX_EXACT_DISCORDANT = 10_000  # answers that only one net got right: exact up to here


@dataclass(frozen=True, kw_only=True)
class Interval:
    """From low to high, both included."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Repeated measurements of one quantity.

    Args:
        n: how many.
        mean: of them.
        std: sample standard deviation (n - 1); None for one measurement.
        interval: 95% interval of the mean by Student's t; None for one measurement.
    """

    n: int
    mean: float
    std: float | None
    interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Paired differences of two variants.

    Args:
        summary: of the differences.
        p_value: two-sided, of the sign-flip test; None for one pair, where it is 1 whatever came
            out.
        prediction: 95% interval for the difference of one further pair of runs; None for one pair.
    """

    summary: Summary
    p_value: float | None
    prediction: Interval | None


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Two sets of answers to the same questions.

    Args:
        only_ours: questions that only the first answered right.
        only_theirs: questions that only the second did.
        p_value: two-sided, of the hypothesis that either is as likely.
    """

    only_ours: int
    only_theirs: int
    p_value: float


def summarise(values: Sequence[float]) -> Summary:
    """Mean, spread and t interval.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a summary needs finite values, got {list(values)}")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Summary(n=1, mean=mean, std=None, interval=None)
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * std / math.sqrt(n)
    return Summary(n=n, mean=mean, std=std, interval=Interval(low=mean - half, high=mean + half))


def compare(differences: Sequence[float]) -> Comparison:
    """Whether paired differences are about zero.

    Args:
        differences: one per seed.

    Raises:
        ValueError: no differences, or one that is not finite.
    """
    summary = summarise(differences)
    if summary.std is None or summary.interval is None:
        return Comparison(summary=summary, p_value=None, prediction=None)
    # A further pair varies by itself, and its expectation is known as well as the mean.
    half = (summary.interval.high - summary.mean) * math.sqrt(summary.n + 1)
    prediction = Interval(low=summary.mean - half, high=summary.mean + half)
    return Comparison(summary=summary, p_value=sign_flip_p(differences), prediction=prediction)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided permutation test of paired differences: the share of sign patterns whose mean is at
    least as far from zero as the one found.

    Exact up to 16 pairs; beyond, from a fixed random sample of patterns. It assumes that under the
    hypothesis each difference is as likely with either sign, and nothing else.

    Raises:
        ValueError: fewer than two differences, or one that is not finite.

    Source: Fisher (1935), The design of experiments, section 21; samples: Phipson & Smyth (2010).
    """
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"a sign-flip test needs finite differences, got {list(values)}")
    sampled = len(values) > MAX_EXACT_PAIRS
    resamples = RESAMPLES if sampled else 2**MAX_EXACT_PAIRS
    found = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=resamples, rng=0
    )
    # scipy's own p-value allows for rounding relative to the mean: too little where values cancel.
    least = abs(found.statistic) - ROUNDING * np.abs(values).max()
    means = np.abs(found.null_distribution)
    # The pattern found counts too; all patterns hold it already.
    return float((np.sum(means >= least) + sampled) / (len(means) + sampled))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for their number: a family-wise error rate that holds under any dependence.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    # The least p-value counts for all of them, the next for one fewer, and none for less than the
    # one before it.
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def mcnemar(ours_right: np.ndarray, theirs_right: np.ndarray) -> McNemar:
    """Whether two nets, or two sets of nets pooled over seeds, differ on the same images.

    All answers count as independent. Several seeds see the same images, so that for them the
    p-value is too small: it answers whether these trained nets differ on these images, not whether
    a trick helps.

    Args:
        ours_right: bool, any shape.
        theirs_right: bool, the same shape.

    Source: McNemar (1947), Note on the sampling error of the difference between correlated
    proportions. Exact (binomial) up to 10,000 discordant answers, above chi-square with continuity
    correction.
    """
    if ours_right.shape != theirs_right.shape:
        raise ValueError(f"shapes differ: {ours_right.shape} and {theirs_right.shape}")
    only_ours = int((ours_right & ~theirs_right).sum())
    only_theirs = int((theirs_right & ~ours_right).sum())
    discordant = only_ours + only_theirs
    if discordant <= MAX_EXACT_DISCORDANT:
        p_value = min(1.0, 2 * stats.binom.cdf(min(only_ours, only_theirs), discordant, 0.5))
    else:
        statistic = (abs(only_ours - only_theirs) - 1) ** 2 / discordant
        p_value = stats.chi2.sf(statistic, 1)
    return McNemar(only_ours=only_ours, only_theirs=only_theirs, p_value=float(p_value))


def wilson(right: int, total: int) -> Interval:
    """95% interval of a share, such as an accuracy on ``total`` images.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    found = stats.binomtest(right, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))
