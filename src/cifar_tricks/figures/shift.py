"""The picture of exercise (b): what shifts of the image change, with and without pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from cifar_tricks.figures.style import GRAY, INK, set_title

# Height in inches.
HEIGHT = 3.9
# Of the layers, in their order.
COLOURS = (INK, GRAY, "#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "v", "D", "^")


def draw_shift(figure: Figure, shift: Mapping[str, Any]) -> None:
    """Left: a shift by one pixel; right: further shifts. Means over the images and 95% intervals.

    Args:
        figure: an empty one.
        shift: what :func:`cifar_tricks.exercises.shift_experiment.measure_shifts` found.
    """
    set_title(figure, f"{shift['net']}: features of the first convolution when the image shifts")
    one, all_shifts = figure.subplots(1, 2, width_ratios=(1, 1.15))
    names = list(shift["layers"])
    for place, (name, colour, marker) in enumerate(zip(names, COLOURS, MARKERS, strict=True)):
        means, lows, highs = zip(*shift["layers"][name]["relative"], strict=True)
        style = {"color": colour, "marker": marker, "markersize": 6}
        error = [[means[0] - lows[0]], [highs[0] - means[0]]]
        one.errorbar(means[0], place, xerr=error, capsize=4, elinewidth=1.6, **style)
        label = f"{means[0]:.3f}"
        one.annotate(label, (highs[0], place), (7, 0), textcoords="offset points", va="center")
        dashes = "--" if colour == GRAY else "-"
        all_shifts.plot(shift["shifts"], means, label=name, linestyle=dashes, **style)
        all_shifts.fill_between(shift["shifts"], lows, highs, color=colour, alpha=0.2, linewidth=0)
    one.set_yticks(range(len(names)), names)
    one.set_ylim(len(names) - 0.5, -0.5)
    one.set_xlim(0, 1.25 * one.get_xlim()[1])
    one.tick_params(axis="y", length=0)
    one.set_title("shift by one pixel")
    all_shifts.set_title(f"shift by up to {max(shift['shifts'])} pixels")
    all_shifts.set_ylim(0, None)
    all_shifts.set_xticks(shift["shifts"])
    all_shifts.set_xlabel("shift in pixels")
    one.set_xlabel(f"relative change (mean of {shift['images']} images, 95% interval)")
    one.spines["left"].set_visible(False)
    all_shifts.set_ylabel("relative change of the features")
    all_shifts.legend(loc="lower right")
