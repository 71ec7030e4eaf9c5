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

from cifar_tricks.files import write_atomically
from cifar_tricks.results import Study
from cifar_tricks.variants import Variant

INK, DARK, GRAY, LIGHT = "#222222", "#555555", "#8a8a8a", "#d9d9d9"
# The palettes of Okabe and Ito and of Paul Tol, without the yellows (too pale for lines on white):
# told apart with any kind of colour vision. Source: M. Okabe and K. Ito, "Color Universal Design",
# 2008; P. Tol, "Colour Schemes", SRON/EPS/TN/09-002, 2021.
TRICK_COLOURS = (
    "#E69F00",
    "#0072B2",
    "#009E73",
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
    "#882255",
    "#999933",
    "#332288",
    "#661100",
)
GROUP_COLOURS = {
    "reference": INK,
    "improve": "#332288",
    "combine": "#882255",
    "transfer": "#0072B2",
}
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


def trick_colour(study: Study, variant: Variant) -> str:
    """The variant's colour, the same in every figure; new tricks at the end of params.yaml leave
    those of the others as they are."""
    if variant.group != "tricks":
        return GROUP_COLOURS.get(variant.group, INK)
    others = [name for name in study.params.tricks if name != "baseline"]
    if variant.trick not in others:
        return INK
    return TRICK_COLOURS[others.index(variant.trick) % len(TRICK_COLOURS)]


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
