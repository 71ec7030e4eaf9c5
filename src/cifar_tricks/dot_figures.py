"""Dot plots of test accuracies: the tricks against their baselines, and the steps to the goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cifar_tricks.figure_style import DARK, GRAY, INK, set_title, trick_colour
from cifar_tricks.results import GOAL, Study
from cifar_tricks.statistics import summarise

GOAL_COLOUR = "#B34700"
ORIGINAL: dict[str, Any] = {
    "marker": "D",
    "linestyle": "none",
    "markerfacecolor": "none",
    "markeredgecolor": DARK,
    "markeredgewidth": 1.5,
    "markersize": 6.5,
}
SEED: dict[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 4.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}
MEAN: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 9}
INTERVAL: dict[str, Any] = {"linewidth": 2.2, "solid_capstyle": "butt"}


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """One line of a dot plot: a value per seed, the original's value, or what is wrong."""

    label: str
    values: list[float]
    original: float | None
    flaw: str
    colour: str


def draw_overview(figure: Figure, study: Study) -> None:
    """Difference from the baseline per trick, a panel per net."""
    models = list(study.params.models)
    panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    set_title(figure, "Test accuracy: difference from the baseline")
    for ax, model in zip(panels, models, strict=True):
        rows = [
            DotRow(
                label=result.variant.trick,
                values=study.differences(result),
                original=study.original_difference(result),
                flaw=result.flaw or (study.baseline(result).flaw and "no baseline"),
                colour=trick_colour(study, result.variant),
            )
            for result in study.group("tricks")
            if result.variant.model == model and result.variant.trick != "baseline"
        ]
        ax.axvline(0, color=INK, linewidth=1)
        draw_dots(ax, rows)
        ax.set_title(model)
        ax.set_xlabel("difference in test accuracy")
        ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter("{x:+.2f}")
    _dot_legend(figure, study)


def draw_improve(figure: Figure, study: Study) -> None:
    """The cumulative recipe step by step, from the baseline of its net past the goal."""
    steps = study.group("improve")
    bases = {study.baseline(step).key: study.baseline(step) for step in steps}
    rows = [
        DotRow(
            label=result.key if result.key in bases else result.variant.trick,
            values=result.values("test_accuracy"),
            original=result.original.get("test_accuracy"),
            flaw=result.flaw,
            colour=trick_colour(study, result.variant),
        )
        for result in [*bases.values(), *steps]
    ]
    ax = figure.subplots()
    set_title(figure, "Improving step by step")
    ax.axvline(GOAL, color=GOAL_COLOUR, linewidth=1.4, linestyle=(0, (5, 3)))
    top = ax.get_xaxis_transform()
    ax.text(GOAL, 1.01, f"goal {GOAL:.2f}", color=GOAL_COLOUR, ha="center", transform=top)
    draw_dots(ax, rows)
    ax.set_xlabel("test accuracy")
    # No ticks at odd halves of a point, which two digits would round.
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter("{x:.2f}")
    _dot_legend(figure, study)


def draw_dots(ax: Any, rows: Sequence[DotRow]) -> None:
    """Rows from top to bottom: the mean as a large dot with its 95% interval (t) as a line, single
    seeds as small dots below, the original's value as a hollow diamond, or in words what is wrong.
    """
    # Out of each other's way, where there is an interval to be seen.
    aside = 0.24 if any(len(row.values) > 1 for row in rows) else 0.0
    for place, row in enumerate(rows):
        if row.original is not None:
            ax.plot(row.original, place - aside, zorder=6, **ORIGINAL)
        if row.flaw:
            style = {
                "color": GRAY,
                "style": "italic",
                "fontsize": 8.5,
                "ha": "right",
                "va": "center",
            }
            ax.text(0.99, place, row.flaw, transform=ax.get_yaxis_transform(), **style)
        if len(row.values) > 1:
            below = [place + aside] * len(row.values)
            ax.plot(row.values, below, color=row.colour, zorder=5, **SEED)
        if row.values:
            summary = summarise(row.values)
            if bounds := summary.interval:
                ends = (bounds.low, bounds.high)
                ax.plot(ends, [place] * 2, color=row.colour, zorder=3, **INTERVAL)
            ax.plot(summary.mean, place, color=row.colour, zorder=4, **MEAN)
    ax.set_yticks(range(len(rows)), [row.label for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.margins(x=0.08)
    ax.tick_params(axis="y", length=0)


def _dot_legend(figure: Figure, study: Study) -> None:
    many = study.most_seeds > 1
    # Drawn off the panels: the colours of the rows differ.
    handles = [Line2D([], [], color=INK, label="mean" if many else "ours (one seed)", **MEAN)]
    if many:
        handles.append(Line2D([], [], color=INK, label="95% interval of the mean", **INTERVAL))
        handles.append(Line2D([], [], color=INK, label="single seeds", **SEED))
    handles.append(Line2D([], [], label="original report (one run)", **ORIGINAL))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
