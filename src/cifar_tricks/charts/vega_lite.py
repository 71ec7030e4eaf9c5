"""The study's charts, as Vega-Lite specifications: the page shows them, figures/write.py draws
them.

Colours are variables of the page's style sheet, such as ``var(--ink)``: charts follow the light and
the dark theme, and print dark on white, without being drawn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
# The style sheet has so many colours for tricks, fit for both themes.
# The page's; charts have its colours by name.
STYLE_SHEET = Path(__file__).with_name("style.css")
NUM_COLOURS = 10
GROUP_COLOURS = {
    "reference": "var(--ink)",
    "improve": "var(--trick8)",
    "combine": "var(--trick6)",
    "transfer": "var(--trick1)",
}
HEAT_HEIGHT, CLASS_HEIGHT, RELIABILITY_HEIGHT = 400, 300, 300
AXIS: Spec = {
    "labelColor": "var(--ink)",
    "titleColor": "var(--muted)",
    "gridColor": "var(--line)",
    "domainColor": "var(--line)",
    "tickColor": "var(--line)",
    "titleFontWeight": 400,
    "titlePadding": 8,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "labelSeparation": 8,
    "gridOpacity": 0.7,
}
# What all charts look like, wherever they are drawn.
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
    "view": {"stroke": None},
    "text": {"color": "var(--muted)"},
    "axis": AXIS,
}


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
    """The colour of each trick, in the order of params.yaml; new tricks at its end leave those of
    the others as they are."""
    others = [name for name in tricks if name != "baseline"]
    numbered = {name: f"var(--trick{place % NUM_COLOURS})" for place, name in enumerate(others)}
    return {"baseline": "var(--ink)"} | numbered


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
    return make_spec(title, HEAT_HEIGHT) | {
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


def class_chart(
    ours: Mapping[str, float], base: Mapping[str, float], *, colour: str, title: str
) -> Spec:
    """Accuracy per class, filled for the variant and hollow for its baseline.

    Args:
        ours: shares in [0, 1] by class.
        base: likewise; classes that it lacks, and all of them where it is empty, have no circle.
        colour: of the variant.
        title: what the chart shows.
    """
    y: Spec = {"field": "class", "sort": [*ours], "title": None, "type": "nominal"}
    y |= {"axis": {"grid": True, "ticks": False}}
    # A little longer, so that no circle lies on a name.
    x: Spec = {"type": "quantitative", "scale": {"domain": [-0.02, 1.02], "nice": False}}
    x["axis"] = {"format": ".1f", "values": [tenth / 10 for tenth in range(11)]}
    x["title"] = "share of the class's test images recognised"
    rows = [{"class": name, "ours": ours[name], "base": base.get(name)} for name in ours]
    both = [row for row in rows if row["base"] is not None]
    place = {"y": y, "x": x | {"field": "ours"}}
    filled = {"type": "point", "filled": True, "color": colour, "opacity": 1, "size": 90}
    hollow = {"type": "point", "fill": "var(--paper)", "color": "var(--ink)", "opacity": 1}
    return make_spec(title, CLASS_HEIGHT) | {
        "layer": [
            {
                "data": {"values": both},
                "mark": {"type": "rule", "color": "var(--line)", "strokeWidth": 3},
                "encoding": place | {"x2": {"field": "base"}},
            },
            {
                "data": {"values": both},
                "mark": hollow | {"size": 70, "strokeWidth": 1.8},
                "encoding": {"y": y, "x": x | {"field": "base"}},
            },
            {
                "data": {"values": rows},
                "mark": filled,
                "encoding": place,
            },
        ]
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
    return make_spec(title, RELIABILITY_HEIGHT) | {
        "layer": [
            {"data": {"values": diagonal}, "mark": dashed, "encoding": {"x": x, "y": y}},
            {
                "data": {"values": [*bins]},
                "mark": dots,
                "encoding": {"x": x, "y": y, "size": size, "tooltip": shown},
            },
        ]
    }
