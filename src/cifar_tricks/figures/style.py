"""One look for all figures: colours, type sizes, and files whose bytes depend on the data alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from cifar_tricks.base.files import write_atomically

INK, DARK, GRAY, LIGHT = "#222222", "#555555", "#8a8a8a", "#d9d9d9"
# Nine inches are the width at which GitHub shows a page: 10 point type is read at its own size.
WIDTH, DOTS_PER_INCH = 9.0, 150
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRAY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
}


def save_figure(
    path: Path, height: float, draw: Callable[[Figure], None], *, palette: bool = True
) -> None:
    """Draws a figure and writes it as PNG.

    Args:
        path: where to.
        height: in inches; the width is always the same.
        draw: fills the figure.
        palette: whether 256 colours are enough.
    """
    # Whatever matplotlibrc this machine has, and without pyplot's global state.
    style: list[Any] = ["default", STYLE]
    with matplotlib.style.context(style):
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout="constrained")
        draw(figure)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    write_picture(path, picture, palette=palette)


def write_picture(path: Path, picture: Image.Image, *, palette: bool = True) -> None:
    """Writes a picture as PNG.

    Args:
        path: where to.
        picture: in RGB.
        palette: whether 256 colours are enough.
    """
    data = io.BytesIO()
    if palette:
        # It makes the files, which git keeps, three times smaller, and in charts nobody sees it.
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    # Without date, version or any other note.
    picture.save(data, "PNG", optimize=True)
    write_atomically(path, data.getvalue())


def set_title(figure: Figure, title: str) -> None:
    """Puts a title at the figure's upper left corner."""
    figure.suptitle(title, x=0.01, ha="left", color=INK)
