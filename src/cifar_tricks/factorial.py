"""Main effects and interactions of a full factorial experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np


def factorial_effects(
    cells: Mapping[frozenset[str], Sequence[float]],
) -> dict[tuple[str, ...], list[float]]:
    """Every contrast of a two-level factorial, for each seed.

    A main effect is the mean over all settings of the other factors of the score with the factor
    minus the score without. An interaction is half of what the effect of one factor changes by
    switching on another, and so on for more factors: a contrast over 2**(k - 1).

    Args:
        cells: score per seed for every combination of factors, named by those that are on.

    Returns:
        By the names of the factors: main effects first, then interactions of two, and so on.

    Raises:
        ValueError: a combination is missing, or has another number of seeds.

    Source: Box, Hunter & Hunter (2005), Statistics for experimenters, chapter 5.
    """
    factors = sorted(frozenset().union(*cells))
    subsets = [s for size in range(len(factors) + 1) for s in combinations(factors, size)]
    if missing := [subset for subset in subsets if frozenset(subset) not in cells]:
        raise ValueError(f"the factorial has no cell for {' + '.join(missing[0]) or 'none'}")
    if len({len(values) for values in cells.values()}) > 1:
        raise ValueError("the cells of a factorial need the same number of seeds")
    scores = {on: np.asarray(values, dtype=np.float64) for on, values in cells.items()}
    effects = {}
    for subset in subsets[1:]:
        # A cell counts as negative for each of these factors that is off.
        signs = {on: (-1) ** len(frozenset(subset) - on) for on in scores}
        contrast = sum(sign * scores[on] for on, sign in signs.items())
        effects[subset] = [float(value) for value in contrast / 2 ** (len(factors) - 1)]
    return effects
