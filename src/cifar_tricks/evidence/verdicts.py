"""What a comparison says about a claim."""

from __future__ import annotations

import math
from typing import Literal

from scipy import stats

from cifar_tricks.evidence.statistics import ALPHA, Comparison

Claim = Literal["better", "worse", "little"]
CONFIRMED, CONTRADICTED, NOT_RESOLVED = VERDICTS = ("confirmed", "contradicted", "not resolved")
MARGIN = 0.01  # what counts as little effect, in accuracy


def verdict(
    comparison: Comparison, adjusted_p: float | None, claim: Claim, *, margin: float = MARGIN
) -> str:
    """One of VERDICTS.

    A claim of better or worse is decided by significance and sign. A claim of little effect is
    confirmed where the 90% interval of the difference lies within ± margin (two one-sided tests at
    5%), and contradicted where it lies outside and the difference is significant.

    Args:
        comparison: with the baseline.
        adjusted_p: of the comparison; None where significance is out of reach.
        claim: what was claimed.
        margin: of little effect, a fraction of the accuracy's scale [0, 1].

    Source: Schuirmann (1987), A comparison of the two one-sided tests procedure and the power
    approach.
    """
    summary, significant = comparison.summary, adjusted_p is not None and adjusted_p <= ALPHA
    if summary.std is None:
        return NOT_RESOLVED
    if claim == "little":
        half = float(stats.t.ppf(1 - ALPHA, summary.n - 1)) * summary.std / math.sqrt(summary.n)
        low, high = summary.mean - half, summary.mean + half
        if -margin <= low and high <= margin:
            return CONFIRMED
        outside = low > margin or high < -margin
        return CONTRADICTED if significant and outside else NOT_RESOLVED
    if not significant or summary.mean == 0:
        return NOT_RESOLVED
    return CONFIRMED if (summary.mean > 0) == (claim == "better") else CONTRADICTED
