"""The judgement in words: its sentences, its numbers, and a table for the terminal."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from cifar_tricks.base.notation import NOTHING, Notation
from cifar_tricks.base.wording import listed, printable
from cifar_tricks.evidence.permutation import RESAMPLES
from cifar_tricks.evidence.statistics import ALPHA, Summary
from cifar_tricks.judge.judgement import NO_LARGER, Judged, Judgement, Side
from cifar_tricks.judge.p_values import MOST_SAMPLED
from cifar_tricks.judge.runs import Runs

WIDTH, LEAST_NAME = 80, 8
MOST_DIGITS, LARGEST = 6, 1e6
HEADER = ("variant", "n", "mean ± sd", "difference ± 95%", "p", "needs", "verdict")
WITHIN = "within margin"
METHODS = {
    "exact": "exact permutation test",
    "sampled": f"permutation test, {RESAMPLES:,} random arrangements, the same each time",
    "t": f"t test (more than {MOST_SAMPLED} runs, or too many comparisons for permutations)",
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked of the table.

    Args:
        baseline: name of the variant that the others are compared with.
        value: name of the column or metric; "" where each variant is a column.
        lower_is_better: as of a loss.
        margin: of what counts as no difference; None for no such claim.
    """

    baseline: str
    value: str = ""
    lower_is_better: bool = False
    margin: float | None = None


def notation_of(judgement: Judgement) -> Notation:
    """As many digits as show two of the usual standard deviation; of very large and very small
    numbers, thousands or thousandths (and so on) of them."""
    sides = [row.ours for row in judgement.rows] + list(judgement.bases.values())
    summaries = [side.summary for side in sides if side.summary]
    stds = [one.std for one in summaries if one.std]
    usual = math.floor(math.log10(median(stds))) if stds else -3
    largest = max((abs(one.mean) for one in summaries), default=1.0) or 1.0
    power = 3 * math.floor(math.log10(largest) / 3)
    if 1 - usual <= MOST_DIGITS and largest < LARGEST:
        power = 0
    return Notation(factor=10.0**-power, digits=min(max(1 - usual + power, 0), MOST_DIGITS))


def unit(notation: Notation) -> str:
    """What the numbers are multiples of; "" for 1."""
    return "" if notation.factor == 1 else f"{1 / notation.factor:.0e}"


def mean_and_deviation(side: Side, notation: Notation) -> str:
    """Of the runs of a variant, or why there is none."""
    if side.summary is None:
        return side.flaw
    std = side.summary.std
    mean = notation.number(side.summary.mean)
    return mean if std is None else f"{mean} ± {notation.number(std)}"


def count(row: Judged) -> str:
    """Pairs, or runs of the variant and of its baseline."""
    if row.difference is None or row.base is None:
        return str(len(row.ours.values))
    if row.paired:
        return str(row.difference.n)
    return f"{len(row.ours.values)}/{len(row.base.values)}"


def terminal_table(judgement: Judgement, question: Question, within: str) -> Iterator[str]:
    """Lines of at most 80 characters; long names are shortened in their middle."""
    notation = notation_of(judgement)
    cells = [_cells(row, notation) for row in judgement.rows]
    bases = {
        block: [question.baseline, str(len(side.values)), mean_and_deviation(side, notation)]
        for block, side in judgement.bases.items()
    }
    shown = [[printable(row[0]), *row[1:]] for row in [[*HEADER], *bases.values(), *cells]]
    full = [row for row in shown if len(row) == len(HEADER)]
    widths = [max(map(_width, column)) for column in zip(*full, strict=True)]
    widths[0] = max(_width(row[0]) for row in shown)
    widths[1] = max(widths[1], *(len(row[1]) for row in bases.values()))
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else 1
    rest = sum(widths[1:]) + gap * (len(widths) - 1)
    widths[0] = min(widths[0], max(LEAST_NAME, WIDTH - rest))
    yield _line(HEADER, widths, gap)
    yield "-" * min(WIDTH, widths[0] + rest)
    for block, rows in judgement.by_block().items():
        if within:
            yield from textwrap.wrap(f"{within} = {printable(block)}", WIDTH)
        yield _line(bases[block], widths, gap) if block in bases else "no baseline"
        yield from (_line(_cells(row, notation), widths, gap) for row in rows)


def _cells(row: Judged, notation: Notation) -> list[str]:
    start = [row.variant, count(row)]
    if row.difference is None:
        return [*start, row.flaw]
    p = notation.p_value(row.adjusted_p)
    needs = NOTHING if row.to_resolve is None else str(row.to_resolve)
    verdict = WITHIN if row.verdict == NO_LARGER else row.verdict
    ours = mean_and_deviation(row.ours, notation)
    return [*start, ours, _with_half(row.difference, notation), p, needs, verdict]


def _with_half(difference: Summary, notation: Notation) -> str:
    if difference.interval is None:
        return notation.signed(difference.mean)
    half = notation.number(difference.interval.high - difference.mean)
    return f"{notation.signed(difference.mean)} ± {half}"


def _line(cells: Sequence[str], widths: Sequence[int], gap: int) -> str:
    texts = [_shortened(printable(cells[0]), widths[0])]
    for place, (cell, width) in enumerate(zip(cells[1:], widths[1:], strict=False), start=1):
        left = place == len(widths) - 1 or (len(cells) < len(widths) and place == 2)
        texts.append(cell if left else cell.rjust(width))
    return (" " * gap).join(texts).rstrip()


def _shortened(text: str, width: int) -> str:
    """Cut in its middle, and filled up with spaces."""
    if _width(text) > width:
        head, tail = text, text
        while _width(head) > width - 1 - (width - 1) // 3:
            head = head[:-1]
        while _width(tail) > (width - 1) // 3:
            tail = tail[1:]
        text = f"{head}\N{HORIZONTAL ELLIPSIS}{tail}"
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def sentences(runs: Runs, judgement: Judgement, question: Question) -> Iterator[str]:
    """What was compared, how, and what cannot be said."""
    rows = [row for row in judgement.rows if row.difference]
    total, seed = len(judgement.rows), printable(runs.names.seed)
    better = "lower is better" if question.lower_is_better else "higher is better"
    of = " of ".join(filter(None, map(printable, (question.value, runs.names.variant))))
    what = f"{_counted(total, 'comparison')} with {printable(question.baseline)}"
    yield f"{what}{of and f': {of}'}; {better}."
    if multiples := unit(notation_of(judgement)):
        yield f"Numbers are multiples of {multiples}."
    paired, unpaired = ([row for row in rows if row.paired is side] for side in (True, False))
    if paired:
        yield f"Paired by {seed}: n counts pairs; Student's interval."
    if unpaired:
        why = f"too few equal values of {seed}" if seed else "no column holds the seed"
        of = f"Not paired ({why})" if not paired else f"{len(unpaired)} not paired ({why})"
        yield f"{of}: n counts runs and the baseline's; Welch's interval."
    if judgement.methods and judgement.resolvable:
        found = "; ".join(METHODS[name] for name in METHODS if name in judgement.methods)
        yield f"p: {found}; adjusted for {_counted(total, 'comparison')} (Holm)."
    yield from _what_cannot_be_said(judgement, paired, unpaired)
    if lonely := sum(len(row.ours.values) - len(row.differences) for row in paired):
        yield f"{_counted(lonely, 'run')} without a partner: in the mean only."
    if question.margin is not None:
        yield f"{WITHIN}: {NO_LARGER}, {question.margin:g} (90% interval)."
        if names := [row.name for row in rows if row.little and row.verdict != NO_LARGER]:
            yield f"Significant, and yet within the margin: {listed(names)}."
    if any(row.to_resolve for row in rows):
        what = "pairs" if paired and not unpaired else "runs on each side"
        yield f"needs: about how many {what} would resolve such a difference, four times in five."
    yield from (f"Note: {note}." for note in runs.notes)


def _what_cannot_be_said(
    judgement: Judgement, paired: Sequence[Judged], unpaired: Sequence[Judged]
) -> Iterator[str]:
    for rows, is_paired in ((paired, True), (unpaired, False)):
        few = [row for row in rows if row.least_p * len(judgement.rows) > ALPHA]
        if few and "t" not in judgement.methods:
            what = "pairs" if is_paired else "runs on each side"
            so = f"{len(few)} have fewer" if judgement.resolvable else "none is shown"
            yield f"Below {judgement.needed(paired=is_paired)} {what} no p can be small; {so}."


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" + ("" if number == 1 else "s")
