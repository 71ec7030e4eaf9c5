"""The page's charts, as Vega-Lite specifications.

Colours are written as tokens such as ``@ink``: the page's script puts in the value that its style
sheet gives them, so that charts follow the light and the dark theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
ROW_HEIGHT = 27
# The style sheet has so many colours for tricks, those of figure_style.py made fit for both themes.
NUM_COLOURS = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of an interval chart.

    Args:
        label: on its left.
        mean: of the measured values; None where there is none.
        interval: low and high, or None.
        values: of the single seeds.
        original: the original report's value, or None.
        tone: what its colour says: better, worse, unclear, or plain.
        flaw: what stands in the place of a value.
        note: more for the tooltip.
    """

    label: str
    mean: float | None
    interval: tuple[float, float] | None = None
    values: Sequence[float] = ()
    original: float | None = None
    tone: str = "plain"
    flaw: str = ""
    note: str = ""


def interval_chart(
    rows: Sequence[Row],
    *,
    title: str,
    axis: str,
    domain: tuple[float, float],
    rule: float | None = 0.0,
    signed: bool = True,
) -> Spec:
    """Means with their intervals, single seeds and the original's values, a line per row.

    Args:
        rows: from top to bottom.
        title: what the chart shows, also for those who cannot see it.
        axis: title of the horizontal axis.
        domain: of that axis.
        rule: where a vertical line stands, or None.
        signed: whether the axis shows signs.
    """
    number = "+.2f" if signed else ".2f"
    x: Spec = {"type": "quantitative", "scale": {"domain": list(domain), "nice": False}}
    y: Spec = {
        "field": "label",
        "type": "nominal",
        "sort": None,
        "title": None,
        "scale": {"domain": [row.label for row in rows]},
    }
    at = {"axis": {"title": axis, "format": number, "tickCount": 6}}
    layers = [
        *_rule(rule, x | at),
        _layer(_seeds(rows), _point(opacity=0.4, size=26), {"x": x | {"field": "value"}, "y": y}),
        _layer(
            [_summary(row) for row in rows if row.interval],
            {"type": "rule", "strokeWidth": 3},
            {"x": x | at | {"field": "low"}, "x2": {"field": "high"}, "y": y},
        ),
        _layer(
            [_summary(row) for row in rows if row.mean is not None],
            _point(size=95),
            {"x": x | at | {"field": "mean"}, "y": y, "tooltip": _tooltip(number)},
        ),
        _layer(
            [
                {"label": row.label, "original": row.original, "tone": "plain"}
                for row in rows
                if row.original is not None
            ],
            {"type": "point", "shape": "diamond", "size": 85, "filled": False, "strokeWidth": 1.6},
            {"x": x | at | {"field": "original"}, "y": y},
        ),
        _layer(
            [{"label": row.label, "flaw": row.flaw, "tone": "unclear"} for row in rows if row.flaw],
            {"type": "text", "align": "right", "dx": -4, "fontStyle": "italic"},
            {"x": {"value": "width"}, "y": y, "text": {"field": "flaw"}},
        ),
    ]
    return _spec(title, ROW_HEIGHT * max(1, len(rows))) | {"layer": layers}


def trick_tokens(tricks: Iterable[str]) -> dict[str, str]:
    """The colour of each trick, in the order of params.yaml; the same as in the figures."""
    others = [name for name in tricks if name != "baseline"]
    numbered = {name: f"@trick{place % NUM_COLOURS}" for place, name in enumerate(others)}
    return {"baseline": "@ink"} | numbered


def curves_chart(colours: dict[str, str]) -> Spec:
    """Learning curves, a line per name; the page's script fills in those that are chosen, with
    name, x (epochs), y and seed ("" for the mean).

    Args:
        colours: token by name.
    """
    line = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "title": "training steps, in epochs",
            "axis": {"tickCount": 10, "format": "~g"},
        },
        "y": {"field": "y", "type": "quantitative", "title": "", "scale": {"zero": False}},
        "color": {
            "field": "name",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [*colours], "range": [*colours.values()]},
        },
        "detail": {"field": "seed"},
    }
    shown = [{"field": "name", "title": "variant"}, {"field": "x", "title": "epoch"}]
    shown += [{"field": "y", "title": "mean", "format": ".4f"}]
    point = {"type": "point", "filled": True, "size": 12, "clip": True}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 2, "clip": True}, "encoding": line},
        {"mark": point, "encoding": line | {"tooltip": shown}},
    ]
    return _spec("Learning curves", 380) | {"data": {"values": []}, "layer": layers}


def heat_map(cells: Sequence[Spec], names: Sequence[str], *, title: str) -> Spec:
    """A confusion matrix; ``share`` in [0, 1] of each actual class.

    Args:
        cells: with actual, predicted, share and text.
        names: of the classes, in their order.
        title: what the chart shows.
    """
    x = {"field": "predicted", "sort": [*names], "title": "predicted", "axis": {"labelAngle": -40}}
    place = {"x": x, "y": {"field": "actual", "sort": [*names], "title": "actual"}}
    shade = {"field": "share", "type": "quantitative", "legend": None}
    scale = {"domain": [0, 1], "range": ["@paper", "@heat"], "type": "sqrt", "interpolate": "rgb"}
    dark = {"test": "datum.share > 0.35", "value": "@onheat"}
    return _spec(title, 400) | {
        "data": {"values": [*cells]},
        "layer": [
            {"mark": "rect", "encoding": place | {"color": shade | {"scale": scale}}},
            {
                "mark": {"type": "text", "fontSize": 11},
                "encoding": place
                | {"text": {"field": "text"}, "color": {"condition": dark, "value": "@ink"}},
            },
        ],
    }


def reliability_chart(bins: Sequence[Spec], *, title: str) -> Spec:
    """Accuracy against confidence; on the diagonal a net is as often right as it is sure.

    Args:
        bins: with confidence, accuracy and images.
        title: what the chart shows.
    """
    unit: Spec = {"type": "quantitative", "scale": {"domain": [0, 1]}}
    x = unit | {"field": "confidence", "title": "confidence"}
    y = unit | {"field": "accuracy", "title": "accuracy"}
    size = {
        "field": "images",
        "type": "quantitative",
        "legend": None,
        "scale": {"range": [15, 400]},
    }
    diagonal = [{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]
    dashed = {"type": "line", "strokeDash": [4, 4], "color": "@muted"}
    dots = {"type": "point", "filled": True, "color": "@better", "opacity": 1}
    shown = [{"field": name, "format": ".3~f"} for name in ("images", "confidence", "accuracy")]
    return _spec(title, 300) | {
        "layer": [
            {"data": {"values": diagonal}, "mark": dashed, "encoding": {"x": x, "y": y}},
            {
                "data": {"values": [*bins]},
                "mark": dots,
                "encoding": {"x": x, "y": y, "size": size, "tooltip": shown},
            },
        ]
    }


def common_domain(rows: Sequence[Row], *, include: Sequence[float] = ()) -> tuple[float, float]:
    """An axis that holds everything the rows show, with a margin."""
    values = [*include]
    for row in rows:
        values += [*row.values, *(row.interval or ())]
        values += [value for value in (row.mean, row.original) if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.01
    return round(low - margin, 4), round(high + margin, 4)


def _spec(title: str, height: int) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": title,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def _layer(values: Sequence[Spec], mark: Spec, encoding: Spec) -> Spec:
    tones = ["better", "worse", "unclear", "plain"]
    scale = {"domain": tones, "range": [f"@{tone}" for tone in tones]}
    colour = {"field": "tone", "type": "nominal", "legend": None, "scale": scale}
    return {
        "data": {"values": [*values]},
        "mark": mark,
        "encoding": encoding | {"color": colour},
    }


def _rule(place: float | None, x: Spec) -> list[Spec]:
    if place is None:
        return []
    mark = {"type": "rule", "color": "@muted", "strokeDash": [4, 3] if place else [1, 0]}
    return [
        {"data": {"values": [{"at": place}]}, "mark": mark, "encoding": {"x": x | {"field": "at"}}}
    ]


def _point(**more: Any) -> Spec:
    return {"type": "point", "filled": True, "opacity": 1, **more}


def _seeds(rows: Sequence[Row]) -> list[Spec]:
    return [
        {"label": row.label, "value": value, "tone": row.tone}
        for row in rows
        if len(row.values) > 1
        for value in row.values
    ]


def _summary(row: Row) -> Spec:
    low, high = row.interval or (None, None)
    return {
        "label": row.label,
        "mean": row.mean,
        "low": low,
        "high": high,
        "original": row.original,
        "tone": row.tone,
        "note": row.note,
    }


def _tooltip(number: str) -> list[Spec]:
    digits = number.replace("2", "4")
    named = {"mean": "mean", "low": "95% from", "high": "to", "original": "original"}
    shown = [{"field": field, "title": t, "format": digits} for field, t in named.items()]
    return [{"field": "label", "title": "variant"}, *shown, {"field": "note", "title": "evidence"}]
