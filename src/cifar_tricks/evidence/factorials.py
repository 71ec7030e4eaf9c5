"""Tricks in combination: whether their gains add up, by a full factorial experiment.

Source: Box, Hunter & Hunter (2005), Statistics for experimenters, chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from cifar_tricks.evidence.sample_size import pairs_needed
from cifar_tricks.evidence.statistics import Comparison, compare, holm
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.tricks import load_trick


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A main effect or an interaction.

    Args:
        tricks: one name for a main effect, several for their interaction.
        comparison: of its values per seed with zero.
        adjusted_p: Holm's, over all contrasts of the factorial; None where n is too small for any
            of them to be significant.
    """

    tricks: tuple[str, ...]
    comparison: Comparison
    adjusted_p: float | None


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """Every combination of some tricks on one net.

    Args:
        model: key of ``models``.
        tricks: the factors.
        cells: the variant of each combination; the empty one is the baseline.
        holes: why there is no analysis, a line per cell that has no result; empty for none.
        contrasts: main effects first; empty where there are holes.
        seeds: n, of those that every cell has.
    """

    model: str
    tricks: tuple[str, ...]
    cells: dict[frozenset[str], Result]
    holes: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    seeds: int

    @property
    def seeds_needed(self) -> int:
        """The least n at which a contrast can be significant."""
        return pairs_needed(2 ** len(self.tricks) - 1)


def factorials(study: StudyResults) -> list[Factorial]:
    """The experiments that ``factorial`` of params.yaml names.

    A cell is the variant, of whatever group, with the same recipe as the baseline of the net with
    these tricks, their numbers those of ``tricks``.
    """
    return [_factorial(study, model, names) for model, names in study.params.factorial.items()]


def _factorial(study: StudyResults, model: str, tricks: tuple[str, ...]) -> Factorial:
    cells, holes = {}, []
    for size in range(len(tricks) + 1):
        for names in combinations(tricks, size):
            found = _find(study, model, names)
            label = " + ".join(names) or "baseline"
            if found is None:
                holes.append(f"{label}: no variant has this recipe; add it to combine")
            elif found.flaw:
                holes.append(f"{label} ({found.key}): {found.flaw}")
            if found is not None:
                cells[frozenset(names)] = found
    common = [set(result.seeds) for result in cells.values()]
    seeds = tuple(sorted(set.intersection(*common))) if common else ()
    if not holes and not seeds:
        holes.append("no seed was trained in every combination")
    return Factorial(
        model=model,
        tricks=tricks,
        cells=cells,
        holes=tuple(holes),
        contrasts=() if holes else _contrasts(cells, seeds),
        seeds=len(seeds),
    )


def _find(study: StudyResults, model: str, names: tuple[str, ...]) -> Result | None:
    """The variant that trains the net with exactly these tricks."""
    recipe = study.results[f"{model}-baseline"].variant.recipe
    for name in names:
        recipe = load_trick(name)(**study.params.tricks[name]).apply(recipe)  # type: ignore[arg-type]
    of_net = (result for result in study.results.values() if result.variant.model == model)
    return next((result for result in of_net if result.variant.recipe == recipe), None)


def _contrasts(cells: dict[frozenset[str], Result], seeds: tuple[int, ...]) -> tuple[Contrast, ...]:
    scores = {
        names: [result.scores["test_accuracy"][seed] or 0.0 for seed in seeds]
        for names, result in cells.items()
    }
    contrasts = [
        Contrast(tricks=tricks, comparison=compare(values), adjusted_p=None)
        for tricks, values in factorial_effects(scores).items()
    ]
    if len(seeds) < pairs_needed(len(contrasts)):
        return tuple(contrasts)
    adjusted = holm([contrast.comparison.p_value or 0.0 for contrast in contrasts])
    pairs = zip(contrasts, adjusted, strict=True)
    return tuple(replace(contrast, adjusted_p=p_value) for contrast, p_value in pairs)


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
