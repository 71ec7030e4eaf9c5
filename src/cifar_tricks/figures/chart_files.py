"""Vega-Lite charts as PNG files, whose bytes depend on the data alone."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

from cifar_tricks.charts.vega_lite import AXIS, CONFIG, STYLE_SHEET, Spec
from cifar_tricks.figures.style import write_picture

# In points; GitHub shows a page about so wide, so that the type is read at its own size.
WIDTH, PADDING, GAP = 900, 12, 28
ROOM = WIDTH - 2 * PADDING
PIXELS = 1.5  # per point
NUMBERS = 62  # room for the labels of a numbered axis and its title
NAMES = 200  # and at most for names
FONT_SIZE, KEY_HEIGHT = 13, 20
NARROW = set(" ,.:;!|()[]-'/fijlrtI")
SIZES = {"small": 24, "circle": 90, "diamond": 75, "stroke": 400}  # square points
# vl-convert carries it: the same on every machine, where it does not see the system's.
FONT, FONTS = "Liberation Sans", "FONTCONFIG_FILE"


@dataclass(frozen=True, kw_only=True)
class Key:
    """An entry of the legend.

    Args:
        label: its words.
        shape: circle, diamond or stroke (a line).
        colour: of the sign.
        hollow: whether only its outline is drawn.
        small: whether it is a small and pale one.
        opacity: in [0, 1].
    """

    label: str
    shape: str = "circle"
    colour: str = "var(--ink)"
    hollow: bool = False
    small: bool = False
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What a file shows.

    Args:
        title: above all.
        rows: of panels side by side, specifications for the page.
        keys: the legend, line by line; a line that is too long is broken.
    """

    title: str
    rows: Sequence[Sequence[Spec]]
    keys: Sequence[Sequence[Key]] = ()


def write_chart(path: Path, chart: Chart) -> None:
    """Draws a chart on white and writes it as PNG."""
    # Frames are in line, so a row begins behind the longest labels of all rows.
    left = max(_labels(panel) for panels in chart.rows for panel in panels)
    rows = [_row(panels, left) for panels in chart.rows]
    # It begins where the first panel does.
    legend = [_legend(chart.keys, ROOM - _labels(chart.rows[0][0]))] if chart.keys else []
    heading = {"anchor": "start", "color": "var(--ink)", "fontSize": 14, "frame": "group"}
    axis = AXIS | {"labelLimit": NAMES, "labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE}
    look = {
        "background": "white",
        "font": FONT,
        "axis": axis,
        "title": heading,
    }
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": {
            "text": chart.title,
            "fontSize": 17,
            "offset": 14,
            "frame": "bounds",
            "limit": ROOM,
        },
        "vconcat": [*rows, *legend],
        "spacing": GAP // 2,
        "padding": PADDING,
        "config": CONFIG | look,
    }
    with _without_system_fonts():
        png = vl_convert.vegalite_to_png(_coloured(spec), scale=PIXELS)
    with Image.open(io.BytesIO(png)) as drawn:
        # All files are equally wide, and so is their type.
        canvas = Image.new("RGB", (round(PIXELS * WIDTH), drawn.height), "white")
        canvas.paste(drawn.convert("RGB"))
    write_picture(path, canvas)


@contextmanager
def _without_system_fonts() -> Iterator[None]:
    """No longer than a chart takes: a browser that this process starts wants fonts."""
    before = os.environ.get(FONTS)
    os.environ[FONTS] = str(Path(__file__).with_name("no_fonts.conf"))
    try:
        yield
    finally:
        del os.environ[FONTS]
        os.environ.update({FONTS: before} if before is not None else {})


def _row(panels: Sequence[Spec], left: float) -> Spec:
    """The panels without what stands for the page's layout, as wide as there is room."""
    labels = max(map(_labels, panels))
    width = (ROOM - left - (GAP + labels) * (len(panels) - 1)) / len(panels)
    shown = [
        {key: value for key, value in panel.items() if key not in ("$schema", "autosize")}
        | {"width": round(width)}
        for panel in panels
    ]
    # Flush: their frames are in line, whatever their labels.
    return {"hconcat": shown, "spacing": GAP + round(labels), "bounds": "flush"}


def _labels(panel: Spec) -> float:
    """How much room the vertical axis takes."""
    axis = next(layer["encoding"]["y"] for layer in panel["layer"] if "y" in layer["encoding"])
    names = axis.get("sort") or axis.get("scale", {}).get("domain")
    if axis.get("type") == "quantitative" or not names:
        return NUMBERS
    return 12 + min(NAMES, max(map(_length, names))) + (24 if axis["title"] else 0)


def _length(text: str) -> float:
    """About how long a text is."""
    return sum(0.3 if letter in NARROW else 0.56 for letter in text) * FONT_SIZE


def _placed(lines: Sequence[Sequence[Key]], width: float) -> list[tuple[Key, float, int]]:
    """The keys with their place from the left and their row."""
    placed, row = [], -1
    for line in lines:
        x, row = 0.0, row + 1
        for key in line:
            length = 48 + _length(key.label)
            if x and x + length > width:
                x, row = 0.0, row + 1
            placed.append((key, x, row))
            x += length
    return placed


def _legend(lines: Sequence[Sequence[Key]], width: float) -> Spec:
    values: list[Spec] = [
        {
            "x": x,
            "row": row,
            "label": key.label,
            "shape": key.shape,
            "colour": key.colour,
            "fill": "transparent" if key.hollow else key.colour,
            "size": SIZES["small" if key.small else key.shape],
            "opacity": 0.4 if key.small else key.opacity,
        }
        for key, x, row in _placed(lines, width)
    ]
    num_rows = 1 + max(value["row"] for value in values)

    def axis(field: str, length: float) -> Spec:
        scale = {"domain": [0, length], "nice": False, "zero": False}
        return {"field": field, "type": "quantitative", "axis": None, "scale": scale}

    place = {"x": axis("x", width), "y": axis("row", num_rows)}
    place["y"]["scale"]["reverse"] = True
    raw = {
        channel: {"field": field, "type": kind, "scale": None, "legend": None}
        for channel, field, kind in (
            ("shape", "shape", "nominal"),
            ("fill", "fill", "nominal"),
            ("stroke", "colour", "nominal"),
            ("size", "size", "quantitative"),
            ("opacity", "opacity", "quantitative"),
        )
    }
    words = {"type": "text", "align": "left", "baseline": "middle", "dx": 16, "fontSize": FONT_SIZE}
    return {
        "data": {"values": values},
        "width": width,
        "height": KEY_HEIGHT * num_rows,
        "layer": [
            {"mark": {"type": "point", "strokeWidth": 1.8, "xOffset": 8}, "encoding": place | raw},
            {
                "mark": words | {"color": "var(--ink)", "xOffset": 8},
                "encoding": place | {"text": {"field": "label"}},
            },
        ],
    }


def _coloured(spec: Spec) -> dict[str, Any]:
    """The specification with the colours of the page's light theme in place of their names."""
    text = re.sub(r"var\(--(\w+)\)", lambda match: light_theme()[match[1]], json.dumps(spec))
    return dict(json.loads(text))


@cache
def light_theme() -> dict[str, str]:
    """The colours of the page's style sheet by name: those of its first rule."""
    rule = STYLE_SHEET.read_text().partition("}")[0]
    return dict(re.findall(r"--(\w+): (#\w+)", rule))
