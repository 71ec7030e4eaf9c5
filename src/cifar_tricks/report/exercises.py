"""The report's section on the worked exercises: what ``exercises.json`` holds, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.notation import NOTHING
from cifar_tricks.exercises.solutions import FIGURE, FILE
from cifar_tricks.report.markdown import Markdown, bold, image, table


def read_exercises(folder: Path) -> dict[str, Any] | None:
    """Reads ``exercises.json``; None where it has not been written yet.

    Args:
        folder: ``reports/<scale>``.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is damaged: dvc repro --force --single-item exercises") from error


def answers_table(content: Mapping[str, Any]) -> Markdown:
    """One row per exercise: our answer, the original's, and whether they agree."""
    rows = []
    for exercise in content["exercises"]:
        row: list[str] = [f"({exercise['letter']})", exercise["answer"], exercise["original"]]
        words = {True: "yes", False: bold("no"), None: NOTHING}
        rows.append([*row, words[exercise["agrees"]]])
    return table(["", "ours", "original", "agree"], rows)


def shift_table(shift: Mapping[str, Any]) -> Markdown:
    """One row per layer: how far shifts by one pixel and by the most change the features."""
    header = ["behind the convolution", "1 pixel", "against no pooling", "images that change less"]
    header += ["share of the way to another image", "share, against no pooling"]
    header += [f"{shift['shifts'][-1]} pixels"]
    rows = []
    for place, (name, layer) in enumerate(shift["layers"].items()):
        # The first row is what the others are compared with.
        row: list[str] = [name, _interval(layer["relative"][0])]
        row += [_percent(layer["against_none"]) if place else ""]
        row += [f"{layer['below_none']} of {shift['images']}" if place else ""]
        row += [_interval(layer["share"])]
        row += [_percent(layer["share_against_none"]) if place else ""]
        rows.append([*row, _interval(layer["relative"][-1])])
    return table(header, rows, "lr")


def shift_figure() -> Markdown:
    """The picture of exercise (b)."""
    alt = "Relative change of the features when the image is shifted by one pixel, and by up to "
    return image(FIGURE, alt + "eight, without pooling and with several kinds of it")


def net_table(net: Mapping[str, Any]) -> Markdown:
    """One row per layer of a net, and its totals."""
    rows: list[list[str]] = [
        [
            layer["name"],
            " x ".join(map(str, layer["output"])),
            f"{layer['parameters']:,}" if layer["parameters"] else "",
            f"{layer['receptive_field']} x {layer['receptive_field']}",
            f"{layer['multiply_adds']:,}" if layer["multiply_adds"] else "",
        ]
        for layer in net["layers"]
    ]
    totals = [bold(f"{net[name]:,}") for name in ("parameters", "multiply_adds")]
    rows.append([bold("all"), "", totals[0], "", totals[1]])
    header = ["layer", "output", "parameters", "receptive field", "multiply-adds"]
    return table(header, rows, "lr")


def net_totals(net: Mapping[str, Any]) -> str:
    """Parameters and multiply-adds of the whole net."""
    return f"{net['parameters']:,} parameters, {net['multiply_adds']:,} multiply-adds"


def _interval(values: list[float]) -> Markdown:
    mean, low, high = values
    return Markdown(f"{mean:.3f}<br>{low:.3f} to {high:.3f}")


def _percent(values: list[float]) -> Markdown:
    mean, low, high = (100 * value for value in values)
    return Markdown(f"{mean:+.1f}%<br>{low:+.1f} to {high:+.1f}")
