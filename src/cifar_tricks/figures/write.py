"""The charts of ``report.md`` as PNG files: the same specifications as on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from cifar_tricks.base.files import write_atomically
from cifar_tricks.charts.budget import budget_charts, net_colours
from cifar_tricks.charts.curves import curve_points, curves_chart, kept_points
from cifar_tricks.charts.results import (
    confusion_chart,
    effect_charts,
    ingredient_charts,
    ladder_chart,
)
from cifar_tricks.charts.vega_lite import GROUP_COLOURS, Spec, class_chart, trick_colours
from cifar_tricks.evidence.curves import read_curves
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.ingredients.read import Ingredients
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.figures.chart_files import Chart, Key, write_chart
from cifar_tricks.parameters.protocol import follows_original

CURVES_HEIGHT = 220
LABELS = {"loss": "loss (cross-entropy, nats)", "accuracy": "accuracy"}
NO_MARK: Spec = {"mark": {"type": "text", "text": "no curves"}, "encoding": {"y": {"value": 20}}}
NO_CURVES: Spec = {"height": 40, "layer": [{"data": {"values": [{}]}} | NO_MARK]}
KEPT = Key(label="kept weights", shape="circle", hollow=True)
ORIGINAL = Key(label="original report, one run", shape="diamond", hollow=True)
TONES = (
    Key(label="significantly better", colour="var(--better)"),
    Key(label="significantly worse", colour="var(--worse)"),
    Key(label="not resolved", colour="var(--unclear)"),
)
SEEDS = Key(label="thin: single seeds", shape="stroke", opacity=0.35)


def write_figures(study: StudyResults, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes every figure that there are results for; those of other nets go.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>/figures``.
    """
    plan = plan_figures(Evidence(study=study, predictions=predictions))
    for path in folder.glob("c*-*.png"):  # `make page` may have had another best net
        if path.stem not in plan:
            path.unlink()
    for name, draw in plan.items():
        write_chart(folder / f"{name}.png", draw())
    if study.best is not None:
        shown = folder / f"curves-{study.best.key}.png"
        write_atomically(folder / "best.png", shown.read_bytes())


def plan_figures(evidence: Evidence) -> dict[str, Callable[[], Chart]]:
    """What makes each figure but ``best``, which is the best net's curves, by its file's name."""
    study = evidence.study
    plan: dict[str, Callable[[], Chart]] = {
        f"curves-{result.key}": partial(curves_figure, study, result)
        for result in study.results.values()
    }
    plan["augmentation"] = partial(augmentation_figure, study)
    plan["overview"] = partial(overview_figure, evidence)
    nets = net_colours(study.params.models)
    if charts := budget_charts(evidence.budgets, nets):
        plan["budget"] = lambda: budget_figure(charts, nets)
    if found := evidence.ingredients:
        plan["ingredients"] = partial(ingredients_figure, found)
    if (ladder := ladder_chart(evidence)) is not None:
        keys = _interval_keys(study)
        if study.goal:
            keys += (Key(label=f"goal {study.goal:.2f}", shape="stroke"),)
            keys += (Key(label="reaches it", colour="var(--better)"),)
        chart = Chart(title="Improving step by step", rows=[[ladder]], keys=[keys])
        plan["improve"] = lambda: chart
    if (best := evidence.predicted_best) is not None:
        plan[f"confusion-{best.key}"] = partial(confusion_figure, evidence, best)
        plan["per_class"] = partial(class_figure, evidence, best)
    return plan


def curves_figure(study: StudyResults, result: Result) -> Chart:
    """Loss and accuracy side by side, training and validation: every seed thin, their mean bold,
    the kept weights marked."""
    variant = result.variant
    of_trick = trick_colours(study.params.tricks)
    colour = of_trick[variant.trick] if variant.group == "tricks" else _group_colour(result)
    colours = {"train": "var(--unclear)", "validation": colour}
    curves = read_curves(result)
    points = [p | {"name": p["split"]} for p in curve_points(result, curves, by="epoch")]
    kept = [p | {"name": "validation"} for p in kept_points(result, curves, by="epoch")]
    many = ", mean" if len(result.seeds) > 1 else ""
    keys = [Key(label=f"{name}{many}", shape="stroke", colour=colours[name]) for name in colours]
    return Chart(
        title=f"{result.key}{': ' + result.flaw if result.flaw else ''}",
        rows=[_panels(study, points, kept, colours, x_title="epoch") if points else [NO_CURVES]],
        keys=[[*keys, *([SEEDS] if many else []), KEPT]] if points else [],
    )


def augmentation_figure(study: StudyResults) -> Chart:
    """Validation curves with and without augmentation, a row per net.

    The horizontal axis counts training steps, each of one batch. A doubled training set has twice
    the steps per epoch: by epochs it would seem to learn faster just because it trains for longer.
    """
    shown = augmentation_results(study)
    tricks = dict.fromkeys(result.variant.trick for result in shown)
    known = trick_colours(study.params.tricks)
    colours = {trick: known[trick] for trick in tricks}
    rows = []
    for model in study.params.models:
        of_net = [(one, read_curves(one)) for one in shown if one.variant.model == model]
        points = [point for one in of_net for point in curve_points(*one)]
        points = [point for point in points if point["split"] == "validation"]
        kept = [point for one in of_net for point in kept_points(*one)]
        panels = _panels(study, points, kept, colours, x_title="training steps")
        rows.append([panel | {"title": f"{model}: validation"} for panel in panels])
    many = study.most_seeds > 1
    mean = ", mean" if many else ""
    keys = [Key(label=f"{name}{mean}", shape="stroke", colour=colours[name]) for name in colours]
    title = "Validation with and without augmentation"
    return Chart(title=title, rows=rows, keys=[[*keys, *([SEEDS] if many else []), KEPT]])


def augmentation_results(study: StudyResults) -> list[Result]:
    """The baselines, and the tricks that change the training images."""
    return [
        result
        for result in study.group("tricks")
        if result.variant.trick == "baseline"
        or result.variant.recipe.copies
        or result.variant.recipe.batch_transforms
    ]


def overview_figure(evidence: Evidence) -> Chart:
    """Difference from the baseline per trick, a panel per net."""
    panels = [chart | {"title": model} for model, chart in effect_charts(evidence).items()]
    keys = [_interval_keys(evidence.study), *([TONES] if evidence.tricks.resolvable else [])]
    title = "Test accuracy: difference from the baseline of the same net"
    rows = [panels[place : place + 2] for place in range(0, len(panels), 2)]
    return Chart(title=title, rows=rows, keys=keys)


def ingredients_figure(found: Ingredients) -> Chart:
    """Difference from the recipe per change, and from the baseline of each net per trick."""
    panels = ingredient_charts(found)
    rows = [[panels.pop(found.whole.key) | {"title": f"left out of {found.whole.key}, or changed"}]]
    rows += [[chart | {"title": f"alone on {name}"} for name, chart in panels.items()]]
    resolvable = any(family.resolvable for family in found.families.values())
    ours = [key for key in _interval_keys(found.study) if key is not ORIGINAL]
    keys = [ours, *([TONES] if resolvable else [])]
    title = "What each ingredient gives: difference in test accuracy"
    return Chart(title=title, rows=[row for row in rows if row], keys=keys)


def budget_figure(charts: Mapping[str, Spec], nets: Mapping[str, str]) -> Chart:
    """Difference from the baseline against the length of the training, a panel per trick."""
    panels = [chart | {"title": trick} for trick, chart in charts.items()]
    rows = [panels[place : place + 2] for place in range(0, len(panels), 2)]
    named = {net: f"{net}{', dashed' * (place > 0)}" for place, net in enumerate(nets)}
    keys = [Key(label=named[net], shape="stroke", colour=nets[net]) for net in nets]
    return Chart(title="The effect against the length of the training", rows=rows, keys=[keys])


def confusion_figure(evidence: Evidence, best: Result) -> Chart:
    """Confusion matrix on the test images."""
    title = f"{best.key}: what the test images were taken for, in percent of each actual class"
    return Chart(title=title, rows=[[confusion_chart(evidence, best)]])


def class_figure(evidence: Evidence, best: Result) -> Chart:
    """Accuracy per class of the best net and of the baseline of its net."""
    base = evidence.study.baseline(best)
    colour = _group_colour(best)
    theirs = {} if base is best else evidence.classes[base.key]
    chart = class_chart(evidence.classes[best.key], theirs, colour=colour, title="")
    keys = [Key(label=best.key, colour=colour)]
    keys += [Key(label=base.key, hollow=True)] if theirs else []
    return Chart(title="Test accuracy per class", rows=[[chart]], keys=[keys])


def _group_colour(result: Result) -> str:
    return GROUP_COLOURS.get(result.variant.group, "var(--ink)")


def _panels(
    study: StudyResults, points: list[Spec], kept: list[Spec], colours: dict[str, str], x_title: str
) -> list[Spec]:
    """Loss beside accuracy."""
    panels = []
    # A loss above twice that of guessing is off the chart: it would flatten everything else.
    highest = 2 * math.log(len(study.dataset.class_names))
    for value, label in LABELS.items():
        ours = [point | {"y": point[value]} for point in points if point[value] is not None]
        high = max((point["y"] for point in ours), default=0.0)
        limit = highest if value == "loss" and high > highest else None
        ends = [point | {"y": y} for point in kept if (y := point[value]) and y <= (limit or high)]
        shared = {"x_title": x_title, "y_title": label, "limit": limit}
        chart = curves_chart(colours, ours, kept=ends, **shared)  # type: ignore[arg-type]
        panels.append(chart | {"height": CURVES_HEIGHT})
    return panels


def _interval_keys(study: StudyResults) -> tuple[Key, ...]:
    original = (ORIGINAL,) * follows_original(study.params)
    if study.most_seeds == 1:
        return Key(label="one run"), *original
    mean, seeds = Key(label="mean and 95% interval"), Key(label="single seeds", small=True)
    return mean, seeds, *original
