"""Every variant against its baseline, judged as one family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import choose_from, printable
from cifar_tricks.evidence.sample_size import pairs_needed, runs_needed, runs_to_resolve
from cifar_tricks.evidence.statistics import ALPHA, adjust, difference, summarise
from cifar_tricks.evidence.verdicts import LEAST_PAIRS, NOT_RESOLVED, direction, is_little
from cifar_tricks.judge.judgement import NO_LARGER, Judged, Judgement, Side
from cifar_tricks.judge.p_values import p_values
from cifar_tricks.judge.runs import Runs

LARGEST = 1e100
OPPOSITE = {"better": "worse", "worse": "better"}


def judge_runs(
    runs: Runs, baseline: str, *, lower_is_better: bool = False, margin: float | None = None
) -> Judgement:
    """Compares every variant with the baseline of its block.

    Args:
        runs: of all variants.
        baseline: name of the variant that the others are compared with.
        lower_is_better: as of a loss.
        margin: of what counts as no difference, in the unit of the values; None for no such claim.

    Raises:
        UserError: there is nothing to compare.
    """
    sides = dict(_sides(runs))
    bases = _bases(sides, baseline, runs.source.name)
    rows = [
        _compare(Judged(block=block, variant=name, ours=side, base=bases.get(block)))
        for (block, name), side in sides.items()
        if name != baseline
    ]
    p_found, methods = p_values(rows)
    resolvable = "t" in methods or min(row.least_p for row in rows) * len(rows) <= ALPHA
    adjusted = adjust(p_found) if resolvable else [None] * len(rows)
    judged = [
        _decide(replace(row, p_value=p, adjusted_p=q), lower_is_better, margin)
        for row, p, q in zip(rows, p_found, adjusted, strict=True)
    ]
    return Judgement(
        rows=_with_numbers(judged), bases=bases, resolvable=resolvable, methods=frozenset(methods)
    )


def _bases(sides: Mapping[tuple[str, str], Side], baseline: str, source: str) -> dict[str, Side]:
    """The baseline of each block; one at least has no flaw, and something to compare with."""
    bases = {block: side for (block, name), side in sides.items() if name == baseline}
    shown = printable(baseline)
    if not bases:
        names = [printable(name) for _, name in sides]
        raise UserError(f"--baseline {shown}: no runs; {choose_from(baseline, names)}")
    if len(bases) == len(sides):
        raise UserError(f"{source}: {shown} is the only variant")
    if all(side.flaw for side in bases.values()):
        raise UserError(
            f"{source}: {shown} {next(iter(bases.values())).flaw}: nothing to compare with"
        )
    return bases


def _sides(runs: Runs) -> Iterator[tuple[tuple[str, str], Side]]:
    """The runs of each variant of each block, in the order of the table."""
    frame = runs.table
    group = frame["block"].to_numpy() * len(runs.variants) + frame["variant"].to_numpy()
    order = np.argsort(group, kind="stable")
    found, starts = np.unique(group[order], return_index=True)
    ends, values, seeds = (
        [*starts[1:], len(order)],
        *(frame[c].to_numpy() for c in ("value", "seed")),
    )
    firsts = order[starts]
    for place in np.argsort(firsts):
        rows = order[starts[place] : ends[place]]
        block, variant = divmod(int(found[place]), len(runs.variants))
        yield (runs.blocks[block], runs.variants[variant]), _side(values[rows], seeds[rows])


def _side(values: np.ndarray, seeds: np.ndarray) -> Side:
    lost = int((~np.isfinite(values)).sum())
    flaw = f"diverged ({lost} of {len(values)} {'run' if len(values) == 1 else 'runs'})"
    if not lost:
        # Beyond, or below, squares leave the range of numbers.
        large, varies = np.abs(values).max() > LARGEST, values.max() > values.min()
        summary = None if large else summarise(values.tolist())
        if summary and bool(summary.std) == varies:
            return Side(values=values, seeds=seeds, summary=summary, flaw="")
        flaw = f"has values too {'large' if large else 'small'} to average"
    return Side(values=values, seeds=seeds, summary=None, flaw=flaw)


def _compare(row: Judged) -> Judged:
    ours, base = row.ours, row.base
    if base is None or ours.flaw or base.flaw:
        lacks = "no baseline" if base is None else base.flaw and f"baseline {base.flaw}"
        return replace(row, flaw=ours.flaw or lacks)
    common = np.empty(0, dtype=np.int64)
    if (ours.seeds >= 0).all() and (base.seeds >= 0).all():
        common, left, right = np.intersect1d(ours.seeds, base.seeds, return_indices=True)
    # One pair is no more than one run of each.
    if len(common) >= 2 or (len(common) == 1 == min(len(ours.values), len(base.values))):
        # In the order of the table, as the study sums them.
        order = np.argsort(left)
        pairs = ours.values[left[order]] - base.values[right[order]]
        found = summarise(pairs.tolist())
        return replace(row, paired=True, differences=pairs.tolist(), difference=found)
    return replace(row, difference=difference(ours.values.tolist(), base.values.tolist()))


def _decide(row: Judged, lower_is_better: bool, margin: float | None) -> Judged:
    if row.difference is None:
        return row
    found = direction(row.difference, row.adjusted_p)
    little = margin is not None and is_little(row.difference, margin)
    if found == "unclear":
        return replace(row, verdict=NO_LARGER if little else NOT_RESOLVED, little=little)
    return replace(row, verdict=OPPOSITE[found] if lower_is_better else found, little=little)


def _with_numbers(rows: list[Judged]) -> list[Judged]:
    """Fills in how many runs each difference that is not resolved would take."""
    places: dict[bool, list[int]] = {True: [], False: []}
    for place, row in enumerate(rows):
        one = row.difference
        if one and one.n >= LEAST_PAIRS and one.std and one.mean and row.verdict not in OPPOSITE:
            places[row.paired].append(place)
    for paired, some in places.items():
        summaries = [found for place in some if (found := rows[place].difference)]
        effects = np.array([abs(one.mean) / (one.std or 1.0) for one in summaries])
        freedom = 1.0 if paired else np.array([_freedom_per_run(rows[place]) for place in some])
        least = (pairs_needed if paired else runs_needed)(len(rows))
        numbers = runs_to_resolve(effects, len(rows), least=least, freedom=freedom)
        for place, number in zip(some, numbers, strict=True):
            rows[place] = replace(rows[place], to_resolve=number)
    return rows


def _freedom_per_run(row: Judged) -> float:
    """Welch's degrees of freedom with as many runs on each side, for each run beyond the first."""
    stds = [side.summary.std or 0.0 for side in (row.ours, row.base) if side and side.summary]
    ratio = (min(stds) / max(stds)) ** 2
    return (1 + ratio) ** 2 / (1 + ratio**2)
