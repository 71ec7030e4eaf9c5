"""How many pairs of runs a comparison takes."""

from __future__ import annotations

import numpy as np
from scipy import stats

from cifar_tricks.evidence.statistics import ALPHA, Summary

POWER, MOST_PAIRS = 0.8, 1000  # of the answer to how many pairs it would take


def smallest_p(pairs: int) -> float:
    """The least p-value that :func:`sign_flip_p` can give: all differences of one sign."""
    return float(2.0 ** (1 - pairs))


def pairs_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """The least number of pairs at which one of so many comparisons can be significant after
    Holm's correction."""
    pairs = 1
    while comparisons * smallest_p(pairs) > alpha:
        pairs += 1
    return pairs


def pairs_to_resolve(summary: Summary, comparisons: int) -> int | None:
    """About how many pairs would make a difference of this size significant, in four of five
    studies like this one.

    The power of a t test at the level that Holm's correction leaves to the first of the
    comparisons; the sign-flip test has about the same. It takes mean and spread as they were found:
    with few pairs the answer is as uncertain as they are.

    Args:
        summary: of the paired differences.
        comparisons: that are judged together.

    Returns:
        From :func:`pairs_needed` to MOST_PAIRS; None for more, and where the spread is not known.

    Source: Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 2.
    """
    if not summary.std or not summary.mean:
        return None
    sizes = np.arange(max(2, pairs_needed(comparisons)), MOST_PAIRS + 1)
    critical = stats.t.ppf(1 - ALPHA / comparisons / 2, sizes - 1)
    # Beyond 30 scipy's distribution has no value, and the power is 1 for any number of pairs.
    shift = np.minimum(abs(summary.mean) / summary.std * np.sqrt(sizes), 30.0)
    enough = sizes[stats.nct.sf(critical, sizes - 1, shift) >= POWER]
    return int(enough[0]) if len(enough) else None
