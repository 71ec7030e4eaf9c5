"""The page's charts of means with their intervals, as Vega-Lite specifications."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cifar_tricks.charts.vega_lite import Spec, make_spec
from cifar_tricks.evidence.statistics import Interval

ROW_HEIGHT = 30
# Single seeds stand a little below their mean and the original's value a little above, so that
# neither hides behind the interval. In pixels.
SHIFT = 8
NUM_TICKS = 6
DIAMOND = {
    "type": "point",
    "shape": "diamond",
    "size": 75,
    "filled": False,
    "strokeWidth": 1.6,
    "yOffset": -SHIFT,
}


@dataclass(frozen=True, kw_only=True)
class ChartRow:
    """One line of an interval chart.

    Args:
        label: on its left.
        mean: of the measured values; None where there is none.
        interval: of that mean, or None.
        values: of the single seeds.
        original: the original report's value, or None.
        tone: what its colour says: better, worse, unclear, or plain.
        flaw: what stands in the place of a value.
        flaw_side: where: left or right.
        note: more for the tooltip.
    """

    label: str
    mean: float | None
    interval: Interval | None = None
    values: Sequence[float] = ()
    original: float | None = None
    tone: str = "plain"
    flaw: str = ""
    flaw_side: str = "right"
    note: str = ""


def interval_chart(
    rows: Sequence[ChartRow],
    *,
    title: str,
    axis: str,
    domain: tuple[float, float],
    rule: float | None = 0.0,
    signed: bool = True,
    digits: int = 4,
) -> Spec:
    """Means with their intervals, single seeds and the original's values, a line per row.

    Args:
        rows: from top to bottom.
        title: what the chart shows, also for those who cannot see it.
        axis: title of the horizontal axis.
        domain: of that axis.
        rule: where a vertical line stands, or None.
        signed: whether the axis shows signs.
        digits: of the numbers that are shown for a point.
    """
    sign = "+" if signed else ""
    x: Spec = {"type": "quantitative", "scale": {"domain": list(domain), "nice": False}}
    y: Spec = {
        "field": "label",
        "type": "nominal",
        "sort": None,
        "title": None,
        "scale": {"domain": [row.label for row in rows]},
    }
    at = {"axis": {"title": axis, "tickCount": NUM_TICKS, "labelExpr": labels(domain, sign)}}
    layers = [
        *_rule(rule, x | at),
        _layer(
            _seeds(rows),
            _point(fillOpacity=0.4, size=22, yOffset=SHIFT),
            {"x": x | {"field": "value"}, "y": y},
        ),
        _layer(
            [_summary(row) for row in rows if row.interval],
            {"type": "rule", "strokeWidth": 3},
            {"x": x | at | {"field": "low"}, "x2": {"field": "high"}, "y": y},
        ),
        _layer(
            [_summary(row) for row in rows if row.mean is not None],
            _point(size=95),
            {"x": x | at | {"field": "mean"}, "y": y, "tooltip": _tooltip(f"{sign}.{digits}f")},
        ),
        _layer(
            [
                {"label": row.label, "original": row.original, "tone": "plain"}
                for row in rows
                if row.original is not None
            ],
            DIAMOND,
            {"x": x | at | {"field": "original"}, "y": y},
        ),
        *(_flaws(rows, y, side) for side in {row.flaw_side: "" for row in rows if row.flaw}),
    ]
    return make_spec(title, ROW_HEIGHT * max(1, len(rows))) | {"layer": layers}


def common_domain(
    rows: Sequence[ChartRow], *, include: Sequence[float] = ()
) -> tuple[float, float]:
    """An axis that holds everything the rows show, with a margin."""
    values = [*include]
    for row in rows:
        values += row.values
        values += [row.interval.low, row.interval.high] if row.interval else []
        values += [value for value in (row.mean, row.original) if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.01
    digits = max(4, 1 - math.floor(math.log10(margin / 0.06)))
    return round(low - margin, digits), round(high + margin, digits)


def labels(domain: tuple[float, float], sign: str) -> str:
    """Vega's expression for the labels of an axis with a sign, and plain zero."""
    # As many digits as tell one tick from the next.
    digits = max(2, -math.floor(math.log10((domain[1] - domain[0]) / NUM_TICKS)))
    return f"datum.value === 0 ? '0' : format(datum.value, '{sign}.{digits}f')"


def _layer(values: Sequence[Spec], mark: Spec, encoding: Spec) -> Spec:
    tones = ["better", "worse", "unclear", "plain"]
    scale = {"domain": tones, "range": [f"var(--{tone})" for tone in tones]}
    colour = {"field": "tone", "type": "nominal", "legend": None, "scale": scale}
    return {
        "data": {"values": [*values]},
        "mark": mark,
        "encoding": encoding | {"color": colour},
    }


def _rule(place: float | None, x: Spec) -> list[Spec]:
    if place is None:
        return []
    mark = {"type": "rule", "color": "var(--muted)", "strokeDash": [4, 3] if place else [1, 0]}
    return [
        {"data": {"values": [{"at": place}]}, "mark": mark, "encoding": {"x": x | {"field": "at"}}}
    ]


def _flaws(rows: Sequence[ChartRow], y: Spec, side: str) -> Spec:
    shown = [row for row in rows if row.flaw and row.flaw_side == side]
    place, dx = (0, 4) if side == "left" else ("width", -4)
    return _layer(
        [{"label": row.label, "flaw": row.flaw, "tone": "unclear"} for row in shown],
        {"type": "text", "align": side, "dx": dx, "fontStyle": "italic"},
        {"x": {"value": place}, "y": y, "text": {"field": "flaw"}},
    )


def _point(**more: Any) -> Spec:
    return {"type": "point", "filled": True, "opacity": 1, **more}


def _seeds(rows: Sequence[ChartRow]) -> list[Spec]:
    return [
        {"label": row.label, "value": value, "tone": row.tone}
        for row in rows
        if len(row.values) > 1
        for value in row.values
    ]


def _summary(row: ChartRow) -> Spec:
    return {
        "label": row.label,
        "mean": row.mean,
        "low": row.interval and row.interval.low,
        "high": row.interval and row.interval.high,
        "original": row.original,
        "tone": row.tone,
        "note": row.note,
    }


def _tooltip(digits: str) -> list[Spec]:
    named = {"mean": "mean", "low": "95% from", "high": "to", "original": "original"}
    shown = [{"field": field, "title": t, "format": digits} for field, t in named.items()]
    return [{"field": "label", "title": "variant"}, *shown, {"field": "note", "title": "evidence"}]
