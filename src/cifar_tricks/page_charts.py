"""The page's charts, as Vega-Lite specifications.

Colours are variables of the page's style sheet, such as ``var(--ink)``: charts follow the light and
the dark theme, and print dark on white, without being drawn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Spec = dict[str, Any]
# The style sheet has so many colours for tricks, those of figure_style.py made fit for both themes.
NUM_COLOURS = 10


def make_spec(title: str, height: int) -> Spec:
    """What every chart has: its description, its height in pixels, and the width of its place."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": title,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def trick_colours(tricks: Iterable[str]) -> dict[str, str]:
    """The colour of each trick, in the order of params.yaml; the same as in the figures."""
    others = [name for name in tricks if name != "baseline"]
    numbered = {name: f"var(--trick{place % NUM_COLOURS})" for place, name in enumerate(others)}
    return {"baseline": "var(--ink)"} | numbered


def curves_chart(colours: dict[str, str]) -> Spec:
    """Learning curves, a line per name; the page's script fills in those that are chosen, with
    name, x (epochs), y and seed ("" for the mean).

    Args:
        colours: by name.
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
    return make_spec("Learning curves", 380) | {"data": {"values": []}, "layer": layers}


def heat_map(cells: Sequence[Spec], names: Sequence[str], *, title: str) -> Spec:
    """A confusion matrix; ``share`` in [0, 1] of each actual class.

    Args:
        cells: with actual, predicted, share and text.
        names: of the classes, in their order.
        title: what the chart shows.
    """
    x = {"field": "predicted", "sort": [*names], "title": "predicted", "axis": {"labelAngle": -40}}
    place = {"x": x, "y": {"field": "actual", "sort": [*names], "title": "actual"}}
    scale = {"domain": [0, 1], "range": [0, 1], "type": "sqrt"}
    shade = {"field": "share", "type": "quantitative", "legend": None, "scale": scale}
    # Where the text has about the same contrast in both colours, in both themes.
    dark = {"test": "datum.share > 0.5", "value": "var(--onheat)"}
    return make_spec(title, 400) | {
        "data": {"values": [*cells]},
        "layer": [
            {
                "mark": {"type": "rect", "color": "var(--heat)"},
                "encoding": place | {"fillOpacity": shade},
            },
            {
                "mark": {"type": "text", "fontSize": 11},
                "encoding": place
                | {"text": {"field": "text"}, "color": {"condition": dark, "value": "var(--ink)"}},
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
    x = unit | {"field": "confidence", "title": "confidence", "axis": {"tickCount": 5}}
    y = unit | {"field": "accuracy", "title": "accuracy"}
    size = {
        "field": "images",
        "type": "quantitative",
        "legend": None,
        "scale": {"range": [15, 400]},
    }
    diagonal = [{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]
    dashed = {"type": "line", "strokeDash": [4, 4], "color": "var(--muted)"}
    dots = {"type": "point", "filled": True, "color": "var(--better)", "opacity": 1}
    shown = [{"field": name, "format": ".3~f"} for name in ("images", "confidence", "accuracy")]
    return make_spec(title, 300) | {
        "layer": [
            {"data": {"values": diagonal}, "mark": dashed, "encoding": {"x": x, "y": y}},
            {
                "data": {"values": [*bins]},
                "mark": dots,
                "encoding": {"x": x, "y": y, "size": size, "tooltip": shown},
            },
        ]
    }
