"""What the study says: each comparison with a baseline, its evidence and its verdict.

Everything that is printed about significance comes from here, for the page, ``report.md``,
``results.csv`` and the table for papers alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cifar_tricks.evidence.answers import McNemar, mcnemar
from cifar_tricks.evidence.predictions import right_answers
from cifar_tricks.evidence.sample_size import pairs_needed, pairs_to_resolve, smallest_p
from cifar_tricks.evidence.statistics import Comparison, adjust, compare
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.evidence.verdicts import (
    LEAST_PAIRS,
    NOT_RESOLVED,
    Claim,
    Direction,
    direction,
    verdict,
)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One variant against the baseline of its net, seed by seed.

    Args:
        result: the variant.
        flaw: why there is nothing to compare, e.g. "diverged (1 of 3 seeds)"; empty for none.
        comparison: of the differences in test accuracy; None with a flaw.
        adjusted_p: Holm's, over all comparisons of the family; None where there is but one pair,
            and where no comparison of the family has enough of them to be significant.
        mcnemar: of the pooled predictions; None with a flaw.
        original: the difference that the original report printed, or None.
        claim: what the original said: better, worse, or little (effect); None for nothing.
        verdict: on that claim: confirmed, contradicted or not resolved; empty without a claim.
        seeds_to_resolve: about how many would make a difference of this size significant; None
            where it is, where there are fewer than three pairs, and for more than a thousand.
    """

    result: Result
    flaw: str
    comparison: Comparison | None
    adjusted_p: float | None
    mcnemar: McNemar | None
    original: float | None
    claim: Claim | None
    verdict: str
    seeds_to_resolve: int | None

    @property
    def pairs(self) -> int:
        """n: pairs of runs with equal seeds, 0 with a flaw."""
        return self.comparison.summary.n if self.comparison else 0

    @property
    def direction(self) -> Direction:
        """Where the difference goes, at 5% over the whole family."""
        return direction(self.comparison.summary if self.comparison else None, self.adjusted_p)

    @property
    def original_expected(self) -> bool | None:
        """Whether one run may well differ as the original's did: it lies in the 95% prediction
        interval of a further pair of runs; None where either is not known."""
        interval = self.comparison.prediction if self.comparison else None
        if interval is None or self.original is None:
            return None
        return interval.low <= self.original <= interval.high


@dataclass(frozen=True, kw_only=True)
class Family:
    """Comparisons that are judged together.

    Args:
        effects: one for each comparison that was planned, in the order of params.yaml.
    """

    effects: tuple[Effect, ...]

    @property
    def seeds(self) -> int:
        """The most pairs of runs that a comparison has."""
        return max((effect.pairs for effect in self.effects), default=0)

    @property
    def even(self) -> bool:
        """Whether all that have a result have as many pairs."""
        return len({effect.pairs for effect in self.effects if effect.pairs}) <= 1

    @property
    def seeds_needed(self) -> int:
        """The least n at which one of them can be significant."""
        return pairs_needed(len(self.effects)) if self.effects else 1

    @property
    def resolvable(self) -> bool:
        """Whether one of them has as many."""
        return self.seeds >= self.seeds_needed

    @property
    def smallest_p(self) -> float:
        """The least p-value that the sign-flip test can give with the most pairs."""
        return smallest_p(max(self.seeds, 1))

    def of(self, model: str) -> list[Effect]:
        """The effects on one net."""
        return [effect for effect in self.effects if effect.result.variant.model == model]

    def find(self, key: str) -> Effect | None:
        """The effect of the variant with this key."""
        return next((effect for effect in self.effects if effect.result.key == key), None)


def tricks_family(study: StudyResults, predictions: pd.DataFrame) -> Family:
    """Every trick on every net against its baseline."""
    tricks = [result for result in study.group("tricks") if result.variant.trick != "baseline"]
    return judge(study, tricks, predictions)


def sensitivity_family(study: StudyResults, predictions: pd.DataFrame) -> Family:
    """The other settings of the original's task 3a against the baselines."""
    return judge(study, study.group("sensitivity"), predictions)


def judge(study: StudyResults, results: Sequence[Result], predictions: pd.DataFrame) -> Family:
    """Compares results with their baselines, all of them together.

    Args:
        study: has both.
        results: one for each comparison that was planned.
        predictions: of the test images, where there are any of these.
    """
    comparisons = [_compare(study, result) for result in results]
    pairs = max((c.summary.n for c in comparisons if c), default=0)
    resolvable = bool(results) and pairs >= pairs_needed(len(results))
    adjusted: Iterable[float | None] = [None] * len(results)
    if resolvable:
        adjusted = adjust([c.p_value if c else None for c in comparisons])
    effects = [
        _effect(study, result, comparison, p_value, predictions, len(results))
        for result, comparison, p_value in zip(results, comparisons, adjusted, strict=True)
    ]
    return Family(effects=tuple(effects))


def _compare(study: StudyResults, result: Result) -> Comparison | None:
    differences = study.differences(result)
    return compare(differences) if differences else None


def _effect(
    study: StudyResults,
    result: Result,
    comparison: Comparison | None,
    adjusted_p: float | None,
    predictions: pd.DataFrame,
    comparisons: int,
) -> Effect:
    original, base = study.original_difference(result), study.baseline(result)
    claim = _claim(result, original)
    flaw = result.flaw or (f"baseline {base.flaw}" if base.flaw else "")
    unclear = direction(comparison.summary if comparison else None, adjusted_p) == "unclear"
    enough = comparison is not None and comparison.summary.n >= LEAST_PAIRS and unclear
    needed = pairs_to_resolve(comparison.summary, comparisons) if comparison and enough else None
    decided = verdict(comparison, adjusted_p, claim) if claim and comparison else ""
    return Effect(
        result=result,
        flaw=flaw,
        comparison=comparison,
        adjusted_p=adjusted_p,
        mcnemar=None if flaw else _mcnemar(study, result, predictions),
        original=original,
        claim=claim,
        verdict=decided or (NOT_RESOLVED if claim else ""),
        seeds_to_resolve=needed,
    )


def _claim(result: Result, original: float | None) -> Claim | None:
    if original is not None:
        return "better" if original > 0 else "worse"
    if result.said is None:
        return None
    return "little" if result.said == "little" else "worse"


def _mcnemar(study: StudyResults, result: Result, predictions: pd.DataFrame) -> McNemar | None:
    pair, seeds = (result, study.baseline(result)), study.pairs(result)
    ours, theirs = (right_answers(predictions, one, seeds) for one in pair)
    if ours.shape != theirs.shape or not ours.size:
        return None
    return mcnemar(ours, theirs)


def pool(predictions: pd.DataFrame, results: Iterable[Result]) -> np.ndarray:
    """Which test images each net got right, bool (nets, images): every seed of every variant that
    has no flaw."""
    rows = [right_answers(predictions, result) for result in results]
    filled = [row for row in rows if row.size]
    return np.concatenate(filled) if filled else np.empty((0, len(predictions)), dtype=bool)
