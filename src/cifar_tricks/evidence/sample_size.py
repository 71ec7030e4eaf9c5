"""How many runs a comparison takes."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from cifar_tricks.evidence.statistics import ALPHA, Summary

POWER, MOST_PAIRS = 0.8, 1000  # of the answer to how many pairs it would take


def smallest_p(pairs: int) -> float:
    """The least p-value that :func:`sign_flip_ps` can give: all differences of one sign."""
    return float(2.0 ** (1 - pairs))


def smallest_split_p(ours: int, base: int) -> float:
    """The least p-value that :func:`split_ps` can give: all runs of one side above all others.

    Args:
        ours: runs of the variant.
        base: runs of its baseline.
    """
    # With groups of equal size they may also change places.
    return (2 if ours == base else 1) / math.comb(ours + base, ours)


def pairs_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """The least number of pairs at which one of so many comparisons can be significant after
    Holm's correction."""
    pairs = 1
    while comparisons * smallest_p(pairs) > alpha:
        pairs += 1
    return pairs


def runs_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """The same of unpaired runs, as many on each side."""
    runs = 1
    while comparisons * smallest_split_p(runs, runs) > alpha:
        runs += 1
    return runs


def pairs_to_resolve(summary: Summary, comparisons: int) -> int | None:
    """:func:`runs_to_resolve` of one comparison of paired runs; None where the spread is not
    known."""
    if not summary.std or not summary.mean:
        return None
    effect = abs(summary.mean) / summary.std
    return runs_to_resolve(np.array([effect]), comparisons, least=pairs_needed(comparisons))[0]


def runs_to_resolve(
    effects: np.ndarray, comparisons: int, *, least: int, freedom: np.ndarray | float = 1.0
) -> list[int | None]:
    """About how many pairs, or runs on each side, would make differences of these sizes
    significant, in four of five studies like this one.

    The power of a t test at the level that Holm's correction leaves to the first of the
    comparisons; the permutation tests have about the same. It takes mean and spread as they were
    found: with few runs the answer is as uncertain as they are.

    Args:
        effects: absolute mean over standard deviation, of the differences of one pair.
        comparisons: that are judged together.
        least: the least number that can be significant at all.
        freedom: degrees of freedom that each further run adds.

    Returns:
        For each effect from ``least`` to MOST_PAIRS; None for more.

    Source: Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 2.
    """
    low, freedom = np.full(len(effects), max(2, least)), np.broadcast_to(freedom, len(effects))
    high = np.full(len(effects), MOST_PAIRS + 1)

    def enough(sizes: np.ndarray) -> np.ndarray:
        degrees = freedom * (sizes - 1)
        critical = special.stdtrit(degrees, 1 - ALPHA / comparisons / 2)
        # Beyond 30 the distribution has no value here, and the power is 1 for any number of pairs.
        shift = np.minimum(effects * np.sqrt(sizes), 30.0)
        power: np.ndarray = 1 - special.nctdtr(degrees, shift, critical)
        return power >= POWER

    while (low < high).any():  # power grows with the number of pairs
        middle = (low + high) // 2
        found = enough(middle)
        low, high = np.where(found | (low >= high), low, middle + 1), np.where(found, middle, high)
    return [int(size) if size <= MOST_PAIRS else None for size in low]
