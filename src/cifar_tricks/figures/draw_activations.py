"""Pictures of filters and of what they make of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from cifar_tricks.figures.draw_grad_cam import HEIGHT, draw_attribution
from cifar_tricks.figures.style import INK, set_title
from cifar_tricks.figures.tiles import (
    TIMES,
    add_note,
    colour_filters,
    gray_maps,
    shape,
    show_tile,
    tile_width,
)
from cifar_tricks.figures.views import NetView, Views

# Filters and maps in a row beside the image, and on the sheet of all filters.
COLUMNS, OWN_COLUMNS, SHEET_COLUMNS = 5, 8, 16
# Of the image beside the tiles, and of what is written below it, in inches.
IMAGE_WIDTH, IMAGE_TEXT = 1.9, 0.6
HOW_WEIGHTS = "each filter scaled by its largest absolute weight, mid gray is 0"
HOW_MAPS = "each map scaled by its largest value, black is 0"
HOW_SIGNED_MAPS = "each map scaled by its largest absolute value, mid gray is 0, white positive"


@dataclass(frozen=True, kw_only=True)
class TileRow:
    """Tiles side by side.

    Args:
        label: what they show.
        tiles: pictures, gray (N, H, W) or colour (N, H, W, 3), in [0, 1].
        titles: over each; empty for none.
    """

    label: str
    tiles: np.ndarray
    titles: Sequence[str] = ()


def plan_pictures(views: Views) -> dict[str, tuple[float, Callable[[Figure], None]]]:
    """Height in inches and drawing function of every picture, by the name of its file."""
    plan: dict[str, tuple[float, Callable[[Figure], None]]] = {}
    if (view := views.photo) is not None:
        bands, channels = (_rows(numbers, COLUMNS) for numbers in (view.filters, view.channels))
        sheet = _rows(view.weights, SHEET_COLUMNS)
        plan["activations-first"] = (_height([1, 0] * bands), partial(draw_first, view=view))
        plan["activations-filters"] = (0.75 + 0.74 * sheet, partial(draw_sheet, view=view))
        plan["activations-last"] = (_height([1] * channels), partial(draw_last, view=view))
    for key, view in views.own.items():
        height = _height([1, 0, 1], OWN_COLUMNS)
        plan[f"activations-{key}"] = (height, partial(draw_own, view=view))
    if views.attribution is not None:
        plan["grad-cam"] = (HEIGHT, partial(draw_attribution, attribution=views.attribution))
    return plan


def draw_first(figure: Figure, view: NetView) -> None:
    """The chosen filters of the first convolution in colour, and their activations below."""
    set_title(figure, f"{view.net}: filters of {view.first} and their activations")
    weights = colour_filters(view.weights)[list(view.filters)]
    maps, rows = gray_maps(view.first_maps), []
    for start in range(0, len(view.filters), COLUMNS):
        part = slice(start, start + COLUMNS)
        titles = [f"filter {number}" for number in view.filters[part]]
        rows.append(TileRow(label="weights", tiles=weights[part], titles=titles))
        rows.append(TileRow(label="activation", tiles=maps[part]))
    _draw_rows(figure, view, rows, COLUMNS)
    add_note(
        figure,
        f"{_weights(view)}: {HOW_WEIGHTS}.",
        f"Activation: {_first(view)}: {_how(view.first_maps)}.",
    )


def draw_sheet(figure: Figure, view: NetView) -> None:
    """All filters of the first convolution in colour."""
    set_title(figure, f"{view.net}: all {len(view.weights)} filters of {view.first}")
    weights = colour_filters(view.weights)
    grid = figure.add_gridspec(_rows(weights, SHEET_COLUMNS), SHEET_COLUMNS)
    for number, picture in enumerate(weights):
        ax = figure.add_subplot(grid[divmod(number, SHEET_COLUMNS)])
        show_tile(ax, picture, title=str(number))
    add_note(figure, f"{_weights(view)}: {HOW_WEIGHTS}; all gray: a filter without effect.")


def draw_last(figure: Figure, view: NetView) -> None:
    """The chosen channels of the last layer with feature maps."""
    set_title(figure, f"{view.net}: channels of {view.last}")
    maps, rows = gray_maps(view.last_maps), []
    silent = [" (silent)" if not one.any() else "" for one in view.last_maps]
    titles = [f"channel {n}{note}" for n, note in zip(view.channels, silent, strict=True)]
    for start in range(0, len(maps), COLUMNS):
        part = slice(start, start + COLUMNS)
        rows.append(TileRow(label="activation", tiles=maps[part], titles=titles[part]))
    _draw_rows(figure, view, rows, COLUMNS)
    add_note(figure, f"Activation: {_last(view)}: {_how(view.last_maps)}.")


def draw_own(figure: Figure, view: NetView) -> None:
    """First and last convolution of one of our own nets."""
    set_title(figure, f"{view.net}: first and last convolution")
    weights = colour_filters(view.weights)[list(view.filters)]
    filters = [f"filter {number}" for number in view.filters]
    channels = [f"channel {number}" for number in view.channels]
    rows = [
        TileRow(label=f"weights\n{view.first}", tiles=weights, titles=filters),
        TileRow(label=f"activation\n{view.first}", tiles=gray_maps(view.first_maps)),
        TileRow(label=f"activation\n{view.last}", tiles=gray_maps(view.last_maps), titles=channels),
    ]
    _draw_rows(figure, view, rows, OWN_COLUMNS)
    add_note(
        figure,
        f"{_weights(view)}: {HOW_WEIGHTS}.",
        f"Activations, before norm and activation function: {_first(view)}; {_last(view)}:",
        f"{_how(np.minimum(view.first_maps.min(), view.last_maps))}.",
    )


def _draw_rows(figure: Figure, view: NetView, rows: Sequence[TileRow], columns: int) -> None:
    """The image on the left, rows of tiles on the right."""
    ratios = [IMAGE_WIDTH, *[tile_width(columns, beside=IMAGE_WIDTH)] * columns]
    grid = figure.add_gridspec(len(rows), 1 + columns, width_ratios=ratios)
    ax = figure.add_subplot(grid[:, 0])
    height, width = view.pixels.shape[:2]
    show_tile(ax, view.pixels, title=f"input, 3 {TIMES} {height} {TIMES} {width}")
    text = f"{view.image}; taken for: {view.answer} ({view.probability:.2f})"
    ax.set_xlabel(fill(text, 28), loc="left", fontsize=9, color=INK)
    # It hangs below the image, where nothing else is, and must not push the rows apart.
    ax.xaxis.label.set_in_layout(False)
    for place, row in enumerate(rows):
        for column, tile in enumerate(row.tiles):
            ax = figure.add_subplot(grid[place, 1 + column])
            show_tile(ax, tile, title=row.titles[column] if row.titles else "")
            if column == 0:
                ax.set_ylabel(row.label, fontsize=9)


def _rows(items: Sized, columns: int) -> int:
    return -(-len(items) // columns)


def _height(titled: Sequence[int], columns: int = COLUMNS) -> float:
    """Inches for rows of tiles, titled (1) or not (0), or for the image where that is higher."""
    tile = tile_width(columns, beside=IMAGE_WIDTH)
    rows = sum(tile + (0.28 if title else 0.14) for title in titled)
    return 0.95 + max(rows, IMAGE_WIDTH + IMAGE_TEXT)


def _first(view: NetView) -> str:
    return f"output of {view.first}, {shape(len(view.weights), *view.first_maps.shape[1:])}"


def _weights(view: NetView) -> str:
    return f"Weights of {view.first}, {shape(*view.weights.shape)}"


def _last(view: NetView) -> str:
    return f"output of {view.last}, {shape(view.last_channels, *view.last_maps.shape[1:])}"


def _how(maps: np.ndarray) -> str:
    return HOW_SIGNED_MAPS if np.min(maps, initial=0) < 0 else HOW_MAPS
