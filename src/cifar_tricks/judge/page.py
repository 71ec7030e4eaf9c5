"""The judgement as one HTML file that opens without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from cifar_tricks.base.notation import Notation
from cifar_tricks.base.wording import listed, printable
from cifar_tricks.charts.html import embed, environment, html_table, shared_files
from cifar_tricks.charts.intervals import ChartRow, common_domain, interval_chart
from cifar_tricks.charts.vega_lite import CONFIG, Spec
from cifar_tricks.evidence.statistics import Interval
from cifar_tricks.judge.judgement import NO_LARGER, Judged, Judgement
from cifar_tricks.judge.runs import Runs
from cifar_tricks.judge.text import (
    Question,
    count,
    mean_and_deviation,
    notation_of,
    sentences,
    unit,
)

TEMPLATES = Path(__file__).with_name("templates")
MOST_DRAWN, MOST_CHARTS = 200, 20  # variants of a chart, and charts
MOST_NAMED = 12  # in a sentence
TONES = {"better": "better", "worse": "worse"}
VERDICTS = ("better", "worse", NO_LARGER, "not resolved")
NUMBERS = ("n", "mean ± sd", "difference", "95% interval", "p (Holm)", "needs")


def to_html(runs: Runs, judgement: Judgement, question: Question) -> str:
    """The page: an interval chart for each block, the table, and how it was judged."""
    notation, within = notation_of(judgement), printable(runs.names.within)
    blocks = {block: rows for block, rows in judgement.by_block().items() if rows}
    drawn = {block: _least_p(blocks[block]) for block in [*blocks][:MOST_CHARTS]}
    baseline, what = printable(question.baseline), printable(question.value) or "value"
    page: str = (
        environment(TEMPLATES)
        .get_template("judgement.html.j2")
        .render(
            title=f"Which variants differ from {baseline}?",
            answer=[*_answer(judgement)],
            baseline=baseline,
            drawn=[
                (f"{within} = {printable(block)}" if within else "", len(blocks[block]) - len(rows))
                for block, rows in drawn.items()
            ],
            shown=MOST_DRAWN,
            undrawn=len(blocks) - len(drawn),
            rows=[_cells(row, notation, within) for row in judgement.rows],
            numbers=NUMBERS,
            sentences=[*sentences(runs, judgement, question)],
            charts=[
                _chart(some, f"difference in {what}", baseline, notation) for some in drawn.values()
            ],
            config=CONFIG,
            data=embed,
            table=html_table,
            **shared_files(),
        )
    )
    return page


def _least_p(rows: Sequence[Judged]) -> list[Judged]:
    """All rows, of many those with the least p-values, in the order of the table."""
    order = sorted(range(len(rows)), key=lambda place: (rows[place].p_value or 1.0, place))
    return [rows[place] for place in sorted(order[:MOST_DRAWN])]


def _answer(judgement: Judgement) -> Iterator[str]:
    for verdict in VERDICTS:
        names = [row.name for row in judgement.rows if row.verdict == verdict]
        if names:
            yield f"{len(names)} {verdict}: {listed(names, MOST_NAMED)}."
    if flawed := sum(not row.verdict for row in judgement.rows):
        yield f"{flawed} without a comparison; the table says why."


def _chart(rows: Sequence[Judged], axis: str, baseline: str, notation: Notation) -> Spec:
    shown = [_chart_row(row, notation.factor) for row in rows]
    axis += f", in multiples of {multiples}" if (multiples := unit(notation)) else ""
    said = Counter(row.verdict or row.flaw for row in rows)
    return interval_chart(
        shown,
        title=f"{axis} from {baseline}. " + ", ".join(f"{n} {v}" for v, n in said.items()),
        axis=axis,
        domain=common_domain(shown, include=(0.0,)),
        digits=notation.digits,
    )


def _chart_row(row: Judged, factor: float) -> ChartRow:
    found = row.difference
    interval = found.interval if found else None
    return ChartRow(
        label=printable(row.variant),
        mean=factor * found.mean if found else None,
        interval=Interval(low=factor * interval.low, high=factor * interval.high)
        if interval
        else None,
        values=[factor * value for value in row.differences],
        tone=TONES.get(row.verdict, "unclear"),
        flaw=row.flaw,
        note=row.verdict,
    )


def _cells(row: Judged, notation: Notation, within: str) -> dict[str, object]:
    found = row.difference
    interval = found.interval if found else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    flaw = Markup('<em class="flaw">{}</em>').format(row.flaw)
    return {
        **({within: printable(row.block)} if within else {}),
        "variant": printable(row.variant),
        "n": count(row),
        "mean ± sd": mean_and_deviation(row.ours, notation) if row.ours.summary else "",
        "difference": notation.signed(found.mean) if found else "",
        "95% interval": notation.interval(low, high),
        "p (Holm)": notation.p_value(row.adjusted_p),
        "needs": row.to_resolve or notation.nothing,
        "verdict": row.verdict or flaw,
    }
