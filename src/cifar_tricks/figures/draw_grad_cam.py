"""Where a net looks in images that it recognises and in images that it mistakes."""

from __future__ import annotations

from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec

from cifar_tricks.figures.style import DARK, INK, set_title
from cifar_tricks.figures.tiles import shape, show_tile
from cifar_tricks.figures.views import Attribution

# So many examples of either kind, side by side.
COLUMNS = 4
HEIGHT = 4.45
# Share of the heat map in the overlay.
OPACITY = 0.55
COLOUR_MAP = "inferno"
ROWS = ("image", "Grad-CAM of\nthe answer", "Grad-CAM of\nthe true class")


def draw_attribution(figure: Figure, attribution: Attribution) -> None:
    """Recognised images on the left, mistaken ones on the right, Grad-CAM laid over them."""
    set_title(figure, f"{attribution.net}: which places speak for a class (Grad-CAM)")
    examples = attribution.examples
    right = examples.labels == examples.predicted
    columns = [*[1] * COLUMNS, 0.35, *[1] * COLUMNS]
    # Above the rows of pictures a thin one for the headings.
    grid = figure.add_gridspec(4, len(columns), width_ratios=columns, height_ratios=[0.1, 1, 1, 1])
    for heading, start, kind in (("recognised", 0, right), ("mistaken", COLUMNS + 1, ~right)):
        places = np.flatnonzero(kind)[:COLUMNS]
        text = heading if len(places) else f"{heading}: none among the examples"
        _write(figure, grid[0, start : start + COLUMNS], text, colour=INK, weight="bold")
        for column, place in enumerate(places):
            _draw_example(figure, grid, attribution, int(place), start + column, first=not column)
    _write(figure, grid[3, :COLUMNS], _explain(attribution), colour=DARK, weight="normal")


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image in gray with a heat map over it.

    Args:
        pixels: uint8 (H, W, 3).
        heat: (H, W) in [0, 1].

    Returns:
        (H, W, 3) in [0, 1].
    """
    # Source: luma of ITU-R BT.601.
    gray = (pixels / 255) @ np.array([0.299, 0.587, 0.114])
    colours = matplotlib.colormaps[COLOUR_MAP](heat)[..., :3]
    return np.asarray((1 - OPACITY) * gray[..., None] + OPACITY * colours)


def _draw_example(
    figure: Figure,
    grid: GridSpec,
    attribution: Attribution,
    place: int,
    column: int,
    *,
    first: bool,
) -> None:
    examples = attribution.examples
    label, predicted = (
        examples.class_names[c[place]] for c in (examples.labels, examples.predicted)
    )
    pixels = examples.pixels(place)
    tiles = [
        (pixels, f"{label} ({examples.index[place]})"),
        (
            overlay(pixels, attribution.for_predicted[place]),
            f"{predicted} {attribution.probability[place]:.2f}",
        ),
    ]
    if label != predicted:
        tiles.append((overlay(pixels, attribution.for_label[place]), label))
    for row, (picture, title) in enumerate(tiles):
        ax = figure.add_subplot(grid[1 + row, column])
        show_tile(ax, picture, title=title)
        if first:
            ax.set_ylabel(ROWS[row], fontsize=9)


def _write(figure: Figure, cell: SubplotSpec, text: str, *, colour: str, weight: str) -> None:
    """Text from the upper left corner of the cell."""
    ax = figure.add_subplot(cell)
    ax.axis("off")
    written = ax.text(0, 1, text, va="top", fontsize=9, color=colour, fontweight=weight)
    written.set_in_layout(False)


def _explain(attribution: Attribution) -> str:
    size = attribution.map_size
    lines = [
        "Numbers: place in the test file; probability of the answer.",
        "Yellow speaks most for the class above the map, dark not at all; each map is scaled by "
        "its maximum, one without any stays dark.",
        f"Maps: {attribution.layer}, {shape(size, size)}, enlarged.",
    ]
    return "\n".join(fill(line, 60) for line in lines)
