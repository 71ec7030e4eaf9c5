"""Learning curves: of one variant, and of training with and without augmentation."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cifar_tricks.curves import mean_curve, read_curves
from cifar_tricks.figure_style import GRAY, INK, set_title, trick_colour
from cifar_tricks.recipe import NUM_CLASSES
from cifar_tricks.results import Result, Study

# A loss above twice that of guessing is off the chart: it would flatten everything else.
LOSS_LIMIT = 2 * math.log(NUM_CLASSES)
KEPT = "kept weights"
LABELS = {"loss": "loss (cross-entropy, nats)", "accuracy": "accuracy"}


def draw_curves(figure: Figure, study: Study, result: Result) -> None:
    """Loss and accuracy side by side, training and validation: every seed thin, their mean bold,
    the kept weights marked."""
    curves = read_curves(result)
    colour = trick_colour(study, result.variant)
    many = len(result.seeds) > 1
    set_title(figure, f"{result.key}{': ' + result.flaw if result.flaw else ''}")
    axes = figure.subplots(1, 2)
    for ax, value in zip(axes, LABELS, strict=True):
        for split, line in (("train", GRAY), ("validation", colour)):
            for _, seed in curves[curves["split"] == split].groupby("seed"):
                style = {"linewidth": 0.8, "alpha": 0.6} if many else {"linewidth": 2}
                ax.plot(
                    seed["epoch"], seed[value], color=line, label=None if many else split, **style
                )
            if many:
                mean = mean_curve(curves, split=split, value=value, seeds=result.seeds)
                ax.plot(mean.index, mean, color=line, linewidth=2.2, label=f"{split}, mean")
        _mark_kept(ax, result, curves, value, by="epoch", colour=colour)
        _finish(ax, value, xlabel="epoch")
    _legend(figure, axes[0], note="thin lines: single seeds" if many else "")


def draw_augmentation(figure: Figure, study: Study) -> None:
    """Validation curves with and without augmentation, a row per net.

    The horizontal axis counts training steps, each of one batch. A doubled training set has twice
    the steps per epoch: by epochs it would seem to learn faster just because it trains for longer.
    """
    models = list(study.params.models)
    grid = figure.subplots(len(models), 2, squeeze=False)
    set_title(figure, "Validation with and without augmentation")
    for row, model in zip(grid, models, strict=True):
        for ax, value in zip(row, LABELS, strict=True):
            for result in augmentation_results(study):
                if result.variant.model == model:
                    _draw_validation(ax, study, result, value)
            _finish(ax, value, xlabel="training steps" if model == models[-1] else "")
            ax.set_title(f"{model}: validation {value}")
    many = study.most_seeds > 1
    note = "thin lines: single seeds, as far as each ran" if many else ""
    _legend(figure, grid[0][0], note=note)


def augmentation_results(study: Study) -> list[Result]:
    """The baselines, and the tricks that change the training images."""
    return [
        result
        for result in study.group("tricks")
        if result.variant.trick == "baseline"
        or result.variant.recipe.copies
        or result.variant.recipe.batch_transforms
    ]


def _draw_validation(ax: Any, study: Study, result: Result, value: str) -> None:
    curves = read_curves(result)
    colour = trick_colour(study, result.variant)
    many = len(result.seeds) > 1
    if many:
        for _, seed in curves[curves["split"] == "validation"].groupby("seed"):
            ax.plot(seed["step"], seed[value], color=colour, linewidth=0.8, alpha=0.5)
    mean = mean_curve(curves, split="validation", value=value, seeds=result.seeds, by="step")
    name = result.variant.trick + (", mean" if many else "")
    if result.flaw:
        name = f"{result.variant.trick}: {result.flaw}"
    ax.plot(mean.index, mean, color=colour, linewidth=2.2, label=name)
    _mark_kept(ax, result, curves, value, by="step", colour=colour)


def _mark_kept(
    ax: Any, result: Result, curves: pd.DataFrame, value: str, *, by: str, colour: str
) -> None:
    for seed in result.run.seeds if result.run else ():
        step = result.run.seeds[seed].best_step if result.run else 0
        kept = curves[
            (curves["seed"] == seed) & (curves["split"] == "validation") & (curves["step"] == step)
        ]
        if len(kept):
            ax.plot(
                kept[by],
                kept[value],
                "o",
                markersize=6,
                markerfacecolor="white",
                markeredgecolor=colour,
                markeredgewidth=1.6,
                label=KEPT,
                zorder=5,
            )


def _finish(ax: Any, value: str, *, xlabel: str) -> None:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(LABELS[value])
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if value == "loss" and ax.get_ylim()[1] > LOSS_LIMIT:
        ax.set_ylim(top=LOSS_LIMIT)
    if not ax.lines:
        ax.text(0.5, 0.5, "no curves", transform=ax.transAxes, ha="center", color=GRAY)


def _legend(figure: Figure, ax: Any, *, note: str) -> None:
    """One legend for all panels, below them; equal entries once, without a single colour where the
    lines have several."""
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if handles.pop(KEPT, None):
        style: dict[str, Any] = {
            "markerfacecolor": "white",
            "markeredgecolor": INK,
            "markeredgewidth": 1.6,
        }
        handles[KEPT] = Line2D([], [], marker="o", linestyle="none", markersize=6, **style)
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=min(len(handles), 4),
            title=note or None,
            title_fontsize=9,
        )
