"""Small pictures side by side: filters, feature maps, images."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_tricks.figures.style import DARK, INK, LIGHT, WIDTH

# What is this much weaker than the strongest filter or map is not amplified any further: a dead
# filter shows gray instead of noise.
FLOOR = 0.01
TIMES = "\N{MULTIPLICATION SIGN}"


def colour_filters(weights: np.ndarray) -> np.ndarray:
    """Filters as pictures: 0 is mid gray, each scaled by its largest absolute weight.

    Args:
        weights: (F, 3, K, K).

    Returns:
        (F, K, K, 3) in [0, 1].
    """
    return (0.5 + 0.5 * _scaled(weights)).transpose(0, 2, 3, 1)


def gray_maps(maps: np.ndarray) -> np.ndarray:
    """Feature maps as pictures, each scaled by its largest absolute value.

    Args:
        maps: (C, H, W).

    Returns:
        (C, H, W) in [0, 1]: where no map has negative values 0 is black, else it is mid gray.
    """
    scaled = _scaled(maps)
    return scaled if np.min(scaled, initial=0) >= 0 else 0.5 + 0.5 * scaled


def _scaled(values: np.ndarray) -> np.ndarray:
    """Each of the first axis divided by its largest absolute value; NaN (a net that diverged)
    counts as 0."""
    finite = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
    peaks = np.abs(finite).max(axis=tuple(range(1, finite.ndim)), initial=0, keepdims=True)
    floor = FLOOR * peaks.max(initial=0)
    return np.asarray(finite / (np.maximum(peaks, floor) if floor > 0 else 1))


def show_tile(ax: Axes, picture: np.ndarray, *, title: str = "") -> None:
    """Shows a picture within a thin frame, at the top of its cell.

    Args:
        ax: where.
        picture: gray (H, W) or colour (H, W, 3), in [0, 1] or uint8.
        title: over it.
    """
    # The cells of small pictures stay squares; large ones are scaled smoothly.
    interpolation = "nearest" if len(picture) <= 64 else "antialiased"
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation=interpolation)
    ax.set_anchor("N")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(LIGHT)
    if title:
        ax.set_title(title, fontsize=9, fontweight="normal", loc="center", pad=3, color=INK)


def tile_width(columns: int, *, beside: float = 0) -> float:
    """Inches of a square tile.

    Args:
        columns: so many stand in a row.
        beside: inches that something on their left takes.
    """
    return (WIDTH - 0.35 - beside) / columns - 0.1


def add_note(figure: Figure, *lines: str) -> None:
    """Small lines of text below everything else."""
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=9, color=DARK)


def shape(*sizes: int) -> str:
    """Sizes with a multiplication sign between them."""
    return f" {TIMES} ".join(map(str, sizes))
