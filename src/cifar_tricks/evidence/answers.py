"""Answers to the same questions: whether two nets differ on them, and how sure a share is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cifar_tricks.evidence.statistics import CONFIDENCE, Interval

MAX_EXACT_DISCORDANT = 10_000  # answers that only one net got right: exact up to here


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
