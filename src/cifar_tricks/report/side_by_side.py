"""Two scales side by side. Nothing is computed across them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain

import pandas as pd

from cifar_tricks.evidence.cells import comparison_cells
from cifar_tricks.evidence.comparisons import to_csv
from cifar_tricks.evidence.verdicts import NOT_RESOLVED
from cifar_tricks.report.findings import Findings, direction
from cifar_tricks.report.markdown import Markdown, code, table

DIRECTIONS = {1: "helps", -1: "hurts", 0: NOT_RESOLVED}
COLUMNS = ("n", "difference", "difference_low", "difference_high", "p_holm")


def protocols_table(*scales: Findings) -> Markdown:
    """The tricks at scales of different protocols, side by side, with the original's difference."""
    first = scales[0].comparisons
    return _side_by_side(
        scales, "original", lambda key: comparison_cells(first[key]).original_difference
    )


def carried_table(first: Findings, second: Findings) -> Markdown:
    """The tricks on two data sets, and which findings of the first hold on the second."""
    return _side_by_side((first, second), "of the two", lambda key: _case(first, second, key))


def _side_by_side(scales: tuple[Findings, ...], title: str, last: Callable[[str], str]) -> Markdown:
    rows = _shared(*scales)
    header = ["net", "trick"]
    for scale in scales:
        counts = sorted({scale.comparisons[key]["n"] for key in rows})
        header += [
            f"{scale.scale}, n = {' to '.join(map(str, counts[:1] + counts[1:][-1:]))}",
            "verdict",
        ]
    cells = [
        [
            scales[0].comparisons[key]["model"],
            code(scales[0].comparisons[key]["trick"]),
            *chain(*(_said(scale, key) for scale in scales)),
            last(key),
        ]
        for key in rows
    ]
    return table([*header, title], cells, "llrlrlr")


def _shared(*scales: Findings) -> list[str]:
    """The tricks that have a result at all of the scales."""
    first = scales[0].comparisons
    keys = [key for key in first if all(key in one.comparisons for one in scales)]
    return [key for key in keys if first[key]["group"] == "tricks"]


def _said(scale: Findings, key: str) -> list[str]:
    """Difference with its interval, and direction, of a comparison."""
    return [scale.effect(key), DIRECTIONS[direction(scale.comparisons[key])]]


def _case(first: Findings, second: Findings, key: str) -> str:
    """What a finding of the first scale becomes at the second: one of :func:`_cases`."""
    there, here = (direction(one.comparisons[key]) for one in (first, second))
    carried, turned, only_first, only_second, neither = _cases(first, second)
    if there and here:
        return carried if there == here else turned
    return only_first if there else only_second if here else neither


def _cases(first: Findings, second: Findings) -> tuple[str, ...]:
    only = [f"resolved at {one.scale} only" for one in (first, second)]
    return "carries over", "turns round", *only, "resolved at neither"


def carried_counts(first: Findings, second: Findings) -> str:
    """How many findings hold at both, turn round, or are resolved at one of them, in words."""
    counts = Counter(_case(first, second, key) for key in _shared(first, second))
    return (
        ", ".join(f"{counts[case]} {case}" for case in _cases(first, second) if counts[case])
        or "none"
    )


def carried_csv(first: Findings, second: Findings) -> str:
    """The same as a table with all digits: a row per trick, columns named after the scales."""
    rows = []
    for key in _shared(first, second):
        row = {name: first.comparisons[key][name] for name in ("key", "model", "trick")}
        for one in (first, second):
            found = one.comparisons[key]
            row |= {f"{one.scale}_{name}": found[name] for name in COLUMNS}
            row[f"{one.scale}_says"] = DIRECTIONS[direction(found)]
        rows.append(row | {"of_the_two": _case(first, second, key)})
    return to_csv(pd.DataFrame(rows))


def turned(first: Findings, second: Findings) -> Markdown:
    """The comparisons whose sign differs between two scales and is resolved at one of them, with
    both differences; in bold where it is resolved at both."""
    found = []
    for row in first.tricks():
        key = row["key"]
        other = second.comparisons.get(key)
        if other is None or row["difference"] * other["difference"] >= 0:
            continue
        resolved = [bool(direction(one)) for one in (row, other)]
        if any(resolved):
            mark = "**" if all(resolved) else ""
            change = f"{first.effect(key)} to {second.effect(key)}"
            found.append(f"- {mark}{code(key)}{mark}: {change}")
    return Markdown("\n".join(found) or "- none")


def budget_table(scale: Findings, *epochs: float) -> Markdown:
    """The difference of every trick after so many of the baseline's epochs."""
    cells = [
        [row["model"], code(row["trick"]), *(scale.after(row["key"], epoch) for epoch in epochs)]
        for row in scale.tricks()
    ]
    return table(["net", "trick", *(f"after {epoch:g}" for epoch in epochs)], cells, "llr")
