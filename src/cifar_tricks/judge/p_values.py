"""The p-value of each comparison: exact where feasible, else from a sample, else of a t test."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from cifar_tricks.evidence.permutation import (
    MAX_EXACT_PAIRS,
    MAX_EXACT_SPLITS,
    RESAMPLES,
    sign_flip_ps,
    split_ps,
)
from cifar_tricks.evidence.statistics import ALPHA, t_test_p
from cifar_tricks.judge.judgement import Judged

MOST_SAMPLED = 100  # runs of a comparison: with more, a t test says the same
WORK = 500_000_000  # arrangements of all comparisons together: seconds


def p_values(rows: list[Judged]) -> tuple[list[float | None], set[str]]:
    """Two-sided p-values, and how they were found.

    Args:
        rows: with their differences.

    Returns:
        None where there is no spread; of exact, sampled and t those that were used.
    """
    groups: dict[tuple[str, bool, str, int], list[int]] = {}
    for place, row in enumerate(rows):
        if row.difference is not None and row.difference.std is not None:
            block = "" if row.paired else row.block
            size = len(row.differences if row.paired else row.ours.values)
            groups.setdefault((_method(row, len(rows)), row.paired, block, size), []).append(place)
    found: list[float | None] = [None] * len(rows)
    for (method, paired, _, _), places in groups.items():
        some = [rows[place] for place in places]
        numbers: Iterable[float | None]
        if method == "t":
            numbers = [t_test_p(row.difference) if row.difference else None for row in some]
        elif paired:
            numbers = sign_flip_ps(np.array([row.differences for row in some])).tolist()
        else:
            base = some[0].base
            assert base is not None
            numbers = split_ps(np.stack([row.ours.values for row in some]), base.values).tolist()
        for place, number in zip(places, numbers, strict=True):
            found[place] = number
    return found, {method for method, *_ in groups}


def _method(row: Judged, comparisons: int) -> str:
    ours, base = len(row.ours.values), len(row.base.values) if row.base else 0
    if row.paired:
        pairs = len(row.differences)
        runs, exact, ways = pairs, pairs <= MAX_EXACT_PAIRS, 2 ** min(pairs, MAX_EXACT_PAIRS)
    else:
        runs, ways = ours + base, MAX_EXACT_SPLITS + 1
        if runs <= MOST_SAMPLED:
            ways = math.comb(runs, ours)
        exact = ways <= MAX_EXACT_SPLITS
    if exact and ways * comparisons <= WORK:
        return "exact"
    # A sample has no p-value below 1 / (RESAMPLES + 1): of too many comparisons none were small.
    small = comparisons / (RESAMPLES + 1) <= ALPHA
    return "sampled" if runs <= MOST_SAMPLED and small else "t"
