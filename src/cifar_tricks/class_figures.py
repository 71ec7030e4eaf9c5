"""Figures of single classes: the confusion matrix, and accuracy class by class."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from cifar_tricks.class_names import CLASS_NAMES
from cifar_tricks.figure_style import INK, LIGHT, set_title, trick_colour
from cifar_tricks.predictions import class_accuracies, predicted_classes
from cifar_tricks.results import Result, Study


def draw_confusion(figure: Figure, study: Study, result: Result, predictions: pd.DataFrame) -> None:
    """Confusion matrix on the test images, all seeds together, every row adding up to 100%."""
    pairs = predicted_classes(predictions, result)
    labels = range(len(CLASS_NAMES))
    matrix = confusion_matrix(
        pairs["actual"], pairs["predicted"], labels=list(labels), normalize="true"
    )
    ax = figure.subplots()
    set_title(figure, f"{result.key}: what the test images were taken for")
    picture = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for actual in labels:
        for predicted in labels:
            share = matrix[actual, predicted]
            colour = "white" if share > 0.55 else INK if actual == predicted else "#444444"
            text = f"{100 * share:.0f}" if share >= 0.005 else ""
            ax.text(predicted, actual, text, ha="center", va="center", color=colour)
    ax.set_xticks(labels, CLASS_NAMES, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(labels, CLASS_NAMES)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("actual class")
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=ax, format="{x:.0%}", pad=0.02, aspect=30)
    bar.set_label("share of the actual class")
    bar.outline.set_visible(False)


def draw_classes(figure: Figure, study: Study, result: Result, predictions: pd.DataFrame) -> None:
    """Accuracy per class of a variant and of the baseline of its net."""
    ours = class_accuracies(predictions, result)
    baseline = study.baseline(result)
    base = class_accuracies(predictions, baseline)
    ax = figure.subplots()
    set_title(figure, "Test accuracy per class")
    names = list(ours)
    for place, name in enumerate(names):
        if name in base:
            ax.plot([base[name], ours[name]], [place, place], color=LIGHT, linewidth=3, zorder=1)
    colour = trick_colour(study, result.variant)
    if baseline is not result:
        known = [place for place, name in enumerate(names) if name in base]
        ax.plot(
            [base[names[place]] for place in known],
            known,
            "o",
            markersize=8,
            markerfacecolor="white",
            markeredgecolor=INK,
            markeredgewidth=1.6,
            label=baseline.key,
        )
    places = range(len(names))
    ax.plot(list(ours.values()), places, "o", color=colour, markersize=9, label=result.key)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(-0.02, 1.02)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("share of the class's test images recognised")
    ax.xaxis.set_major_formatter("{x:.1f}")
    figure.legend(loc="outside lower center", ncols=2)
