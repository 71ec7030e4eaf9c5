"""How fast the engine is beside the usual trainer, from ``make bench``, for page and README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.notation import NOTHING
from cifar_tricks.charts.vega_lite import Spec, make_spec

BENCH = Path("benchmarks/results.json")
# The original protocol, without early stopping: training images, and images of all validations.
TRAINING_IMAGES, VALIDATION_IMAGES, ALL_IMAGES = 450_000, 100_000, 50_000
USUAL = ("usual, 0 workers", "usual, 2 workers")
BAR_HEIGHT = 18
# What the chart shows, by its name in the file; short, so that it fits a narrow window.
SHOWN = {
    "usual, two at once": "usual, two",
    "engine, fp32": "fp32",
    "engine, fp32, two at once": "fp32, two",
    "engine, bf16": "bf16",
    "engine, bf16, two at once": "bf16, two",
}

Rows = dict[str, dict[str, Any]]


def read_bench() -> dict[str, Any] | None:
    """The measurements, or None where there are none.

    Raises:
        UserError: the file is damaged.
    """
    try:
        bench = json.loads(BENCH.read_bytes())
        for section in (bench, bench.get("gpu", bench)):
            assert all(set(USUAL) < set(rows) for rows in section["nets"].values())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, AttributeError, AssertionError) as error:
        raise UserError(f"{BENCH} is damaged; git has it, or make bench writes it anew") from error
    return dict(bench)


def speed_table(bench: dict[str, Any]) -> list[dict[str, str]]:
    """A row per net: images per second, times the usual trainer's, and a training's length; those
    of a GPU last, with its name."""
    gpu = bench.get("gpu", {"nets": {}})
    ways = bench["nets"] | {f"{net}, {gpu['machine']}": rows for net, rows in gpu["nets"].items()}
    table = [_row(net, rows) for net, rows in ways.items()]
    if gpu["nets"]:
        for row, rows in zip(table, ways.values(), strict=True):
            row["bf16, ten seeds"] = _speed(rows, "engine, bf16, 10 seeds")
    return table


def _row(net: str, rows: Rows) -> dict[str, str]:
    usual = max(USUAL, key=lambda name: rows[name]["images_per_second"])
    limits = [rows[f"engine, {precision}"]["ratio_to_limit"] for precision in ("fp32", "bf16")]
    return {
        "net": net,
        "usual": f"{rows[usual]['images_per_second']:.0f}",
        "engine, fp32": _speed(rows, "engine, fp32"),
        "engine, bf16": _speed(rows, "engine, bf16"),
        "of the limit": " / ".join(f"{limit:.2f}" for limit in limits),
        "usual, two at once": _speed(rows, "usual, two at once"),
        "fp32, two at once": _speed(rows, "engine, fp32, two at once"),
        "bf16, two at once": _speed(rows, "engine, bf16, two at once"),
        "ten epochs": " / ".join(
            _duration(rows[name]) for name in (usual, "engine, fp32", "engine, bf16")
        ),
    }


def _speed(rows: Rows, name: str) -> str:
    if name not in rows:
        return NOTHING
    return f"{rows[name]['images_per_second']:.0f} ({rows[name]['ratio_to_usual']:.2f}x)"


def _duration(row: dict[str, Any]) -> str:
    seconds = row["startup_seconds"] + TRAINING_IMAGES / row["images_per_second"]
    seconds += VALIDATION_IMAGES / row["validation_images_per_second"]
    if "trunk_images_per_second" in row:
        seconds += ALL_IMAGES / row["trunk_images_per_second"]
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def speed_chart(bench: dict[str, Any]) -> Spec:
    """Times the usual trainer, a bar per way and net."""
    bars = [
        {
            "net": net.removesuffix("-baseline"),
            "way": title,
            "ratio": rows[name]["ratio_to_usual"],
            "text": f"{title} {rows[name]['ratio_to_usual']:.2f}x",
        }
        for net, rows in bench["nets"].items()
        if "augmented" not in net
        for name, title in SHOWN.items()
        if name in rows
    ]
    said = " ".join(f"{bar['net']}, {bar['text']}." for bar in bars)
    place = {
        "y": {"field": "net", "sort": None, "title": "", "axis": {"labelLimit": 110}},
        "yOffset": {"field": "way", "sort": [*SHOWN.values()]},
    }
    # Room for the words behind the longest bar.
    end = max((bar["ratio"] for bar in bars), default=1) * 1.7
    x = {
        "field": "ratio",
        "type": "quantitative",
        "title": "times the usual trainer",
        "axis": {"tickCount": 5},
        "scale": {"domain": [0, end]},
    }
    ours = {"test": "indexof(datum.way, 'usual') !== 0", "value": 0.8}
    layers = [
        {
            "mark": {"type": "bar", "color": "var(--better)"},
            "encoding": place | {"x": x, "opacity": {"condition": ours, "value": 0.35}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11},
            "encoding": place
            | {"x": x, "text": {"field": "text"}, "color": {"value": "var(--ink)"}},
        },
        {
            "data": {"values": [{"ratio": 1}]},
            "mark": {"type": "rule", "color": "var(--muted)"},
            "encoding": {"x": x},
        },
    ]
    height = BAR_HEIGHT * len(bars) + 20 * len(bench["nets"])
    title = f"Training speed beside the usual trainer. {said}"
    return make_spec(title, height) | {"data": {"values": bars}, "layer": layers}
