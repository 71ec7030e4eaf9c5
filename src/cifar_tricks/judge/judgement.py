"""What is said of the variants of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cifar_tricks.base.wording import printable
from cifar_tricks.evidence.sample_size import (
    pairs_needed,
    runs_needed,
    smallest_p,
    smallest_split_p,
)
from cifar_tricks.evidence.statistics import Summary

NO_LARGER = "no difference larger than the margin"


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """The runs of one variant.

    Args:
        values: of its runs, as the table has them.
        seeds: codes of their seeds, -1 for none.
        summary: of the values; None with a flaw.
        flaw: why there is nothing to average; else empty.
    """

    values: np.ndarray
    seeds: np.ndarray
    summary: Summary | None
    flaw: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One variant beside its baseline.

    Args:
        block: cell of the column ``--within``; "" without one.
        variant: its name.
        ours, base: the runs of both; base is None where the block has no baseline.
        paired: whether runs with equal seeds were compared.
        differences: of the pairs; empty where unpaired.
        difference: of the means; None with a flaw.
        flaw: why nothing was compared; else empty.
        p_value, adjusted_p: None where there is no spread, or significance is out of reach.
        verdict: better, worse, NO_LARGER or NOT_RESOLVED; "" with a flaw.
        little: whether the difference is within the margin, whatever the verdict.
        to_resolve: about how many pairs, or runs on each side, would resolve such a difference.
    """

    block: str
    variant: str
    ours: Side
    base: Side | None
    paired: bool = False
    differences: Sequence[float] = ()
    difference: Summary | None = None
    flaw: str = ""
    p_value: float | None = None
    adjusted_p: float | None = None
    verdict: str = ""
    little: bool = False
    to_resolve: int | None = None

    @property
    def name(self) -> str:
        """Of the variant, with that of its block, on one line."""
        return printable(f"{self.block} {self.variant}".strip())

    @property
    def least_p(self) -> float:
        """The least p-value that the permutation test of these runs can give."""
        if self.base is None or self.difference is None:
            return 1.0
        if self.paired:
            return smallest_p(self.difference.n)
        return smallest_split_p(len(self.ours.values), len(self.base.values))


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """All comparisons of a table.

    Args:
        rows: one for each variant, baselines left out, in the order of the table.
        bases: the baseline of each block.
        resolvable: whether a p-value can be small at all.
        methods: how the p-values were found.
    """

    rows: Sequence[Judged]
    bases: Mapping[str, Side]
    resolvable: bool
    methods: frozenset[str]

    def by_block(self) -> dict[str, list[Judged]]:
        """The rows of each block, in the order of the table; of some perhaps none."""
        found: dict[str, list[Judged]] = {block: [] for block in self.bases}
        for row in self.rows:
            found.setdefault(row.block, []).append(row)
        return found

    def needed(self, *, paired: bool) -> int:
        """The least number of pairs, or runs on each side, at which a p-value can be small."""
        return (pairs_needed if paired else runs_needed)(len(self.rows))
