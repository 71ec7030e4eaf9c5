"""Intervals and tests for runs, paired by their seed or not; scipy has the distributions.

Nothing here knows of nets or files: numbers in, numbers out. docs/decisions/statistics.md gives the
reasons for each choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # scipy.stats takes four times as long to import

from cifar_tricks.evidence.permutation import sign_flip_p

CONFIDENCE = 0.95
ALPHA = 0.05


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
        error: standard error of the mean, where it is not that of n independent measurements.
        freedom: degrees of freedom, likewise.
    """

    n: int
    mean: float
    std: float | None
    interval: Interval | None
    error: float | None = None
    freedom: float | None = None

    def half_width(self, confidence: float) -> float | None:
        """Half of an interval of the mean by Student's t; None for one measurement.

        Args:
            confidence: of the interval, in (0, 1).
        """
        if self.std is None:
            return None
        freedom = self.n - 1 if self.freedom is None else self.freedom
        quantile = float(special.stdtrit(freedom, (1 + confidence) / 2))
        return (
            quantile * self.std / math.sqrt(self.n) if self.error is None else quantile * self.error
        )


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
    return _with_interval(Summary(n=n, mean=mean, std=std, interval=None))


def _with_interval(summary: Summary) -> Summary:
    mean, half = summary.mean, summary.half_width(CONFIDENCE)
    assert half is not None
    return replace(summary, interval=Interval(low=mean - half, high=mean + half))


def difference(ours: Sequence[float], base: Sequence[float]) -> Summary:
    """The difference of the means of unpaired runs, with Welch's interval.

    Args:
        ours: of the variant.
        base: of its baseline.

    Returns:
        n is the smaller number of runs, std that of the difference of one run of each; None for a
        single run on either side.

    Raises:
        ValueError: no values, or one that is not finite.

    Source: Welch (1947), The generalization of "Student's" problem when several different
    population variances are involved.
    """
    one, other = summarise(ours), summarise(base)
    n, mean = min(one.n, other.n), one.mean - other.mean
    if one.std is None or other.std is None:
        return Summary(n=n, mean=mean, std=None, interval=None)
    std = math.hypot(one.std, other.std)
    parts = one.std**2 / one.n, other.std**2 / other.n
    error, freedom = math.sqrt(sum(parts)), float(one.n + other.n - 2)
    if error > 0:
        shares = [part / sum(parts) for part in parts]
        freedom = 1 / (shares[0] ** 2 / (one.n - 1) + shares[1] ** 2 / (other.n - 1))
    summary = Summary(n=n, mean=mean, std=std, interval=None, error=error, freedom=freedom)
    return _with_interval(summary)


def t_test_p(summary: Summary) -> float | None:
    """Two-sided p-value of Student's or Welch's t test of a mean; None for one measurement."""
    half = summary.half_width(CONFIDENCE)
    if half is None:
        return None
    if not half:
        return float(summary.mean == 0)
    freedom = summary.n - 1 if summary.freedom is None else summary.freedom
    t = abs(summary.mean) / half * special.stdtrit(freedom, (1 + CONFIDENCE) / 2)
    return float(2 * special.stdtr(freedom, -t))


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


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """:func:`holm` over comparisons that are judged together.

    A comparison without a p-value still counts, as one of 1: holes must not make the others more
    significant.
    """
    adjusted = holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else q for p, q in zip(p_values, adjusted, strict=True)]
