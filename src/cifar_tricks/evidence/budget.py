"""The effect of a trick against the length of the training, from the histories on record.

At each validation, the difference of validation accuracy between a net with the trick and its
baseline with the same seed. Both have seen as many batches by then, so that a trick that doubles
the training set gets no more steps than its baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from cifar_tricks.evidence.curves import read_curves
from cifar_tricks.evidence.statistics import summarise
from cifar_tricks.evidence.study_results import DIVERGED, Result, StudyResults
from cifar_tricks.runs.run import Run

LEAST_PAIRS = 3
COLUMNS = ("key", "model", "trick", "epoch", "step", "n", "difference", "low", "high")


@dataclass(frozen=True, kw_only=True)
class BudgetPoint:
    """The effect after a training of some length.

    Args:
        epoch: passes over the baseline's training images.
        step: batches.
        n: pairs that both still train.
        difference: of validation accuracy, mean over the pairs.
        low, high: its 95% interval by Student's t, for this point alone (not for the whole curve).
    """

    epoch: float
    step: int
    n: int
    difference: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """+1 or -1 where the interval excludes zero, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The effect of one trick on one net along the training.

    Args:
        result: of the trick.
        points: while at least three pairs train.
        note: why there is none, or why it ends early; empty for nothing to say.
    """

    result: Result
    points: Sequence[BudgetPoint]
    note: str = ""

    @property
    def turn(self) -> tuple[BudgetPoint, BudgetPoint] | None:
        """The last point before and the first after which the interval lies on the other side of
        zero; None where it never lies on both."""
        told = [point for point in self.points if point.sign]
        return next((pair for pair in pairwise(told) if pair[0].sign != pair[1].sign), None)


def budgets(study: StudyResults) -> list[Budget]:
    """Every trick on every net, in the order of params.yaml.

    Raises:
        UserError: a history is missing or damaged.
    """
    results = study.group("tricks")
    accuracies = {result.key: _accuracies(result) for result in results}
    return [
        _budget(study, result, accuracies[result.key], accuracies[study.baseline(result).key])
        for result in results
        if result.variant.trick != "baseline"
    ]


def _accuracies(result: Result) -> pd.DataFrame:
    """Validation accuracies: a row per step, a column per seed; NaN where none was measured."""
    curves = read_curves(result)
    part = curves[curves["split"] == "validation"]
    finite = part[part["loss"].abs() < float("inf")]  # NaN is no less
    return finite.pivot_table(index="step", columns="seed", values="accuracy", aggfunc="last")


def _budget(
    study: StudyResults, result: Result, ours: pd.DataFrame, theirs: pd.DataFrame
) -> Budget:
    runs = [one.run for one in (result, study.baseline(result)) if one.run]
    pairs = [seed for seed in study.pairs(result) if all(seed in run.seeds for run in runs)]
    if len(runs) < 2 or len(pairs) < LEAST_PAIRS:
        count = len(pairs) if len(runs) == 2 else 0
        return Budget(result=result, points=(), note=f"{count} pairs: {LEAST_PAIRS} needed")
    table = ours.reindex(columns=pairs).sub(theirs.reindex(columns=pairs)).dropna(how="all")
    table, note = _before_divergence(runs, table)
    points = []
    for step, row in table.iterrows():
        values = row.dropna().to_list()
        if len(values) < LEAST_PAIRS:
            break
        summary = summarise(values)
        assert summary.interval is not None and isinstance(step, int | float)
        points.append(
            BudgetPoint(
                epoch=round(step / runs[1].steps_per_epoch, 2),
                step=int(step),
                n=summary.n,
                difference=summary.mean,
                low=summary.interval.low,
                high=summary.interval.high,
            )
        )
    return Budget(result=result, points=points, note=note)


def _before_divergence(runs: Iterable[Run], table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The part before a training of a pair diverged: nothing is averaged over what is left."""
    lost = [
        (run.key, seed)
        for run in runs
        for seed in table.columns
        if run.seeds[seed].status == DIVERGED
    ]
    if not lost:
        return table, ""
    # The last step at which the pair still had a difference; before all steps where it never had.
    ends = {one: table[one[1]].last_valid_index() or -1 for one in lost}
    (key, seed), last = min(ends.items(), key=lambda item: item[1])
    return table.loc[:last], f"{key} seed {seed} diverged: the curve ends there"


def budget_csv(found: Iterable[Budget]) -> str:
    """A row per point."""
    rows = [
        (
            budget.result.key, budget.result.variant.model, budget.result.variant.trick,
            point.epoch, point.step, point.n,
            *(round(value, 6) for value in (point.difference, point.low, point.high)),
        )
        for budget in found
        for point in budget.points
    ]  # fmt: skip
    text: str = pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n")
    return text
