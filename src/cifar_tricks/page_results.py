"""The page's data beside the comparisons: curves, the improve ladder, classes and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cifar_tricks.curves import mean_curve, read_curves
from cifar_tricks.evidence_tables import interval
from cifar_tricks.interval_charts import Row
from cifar_tricks.page_evidence import TableRow, accuracy_cells, link
from cifar_tricks.report_tables import (
    NOTHING,
    describe,
    mean_epochs,
    num_seeds,
    number,
    signed_number,
)
from cifar_tricks.results import GOAL, Result, Study
from cifar_tricks.statistics import summarise

# Single seeds are drawn beside their mean up to this many.
MAX_SINGLE_SEEDS = 3


def ladder(study: Study) -> list[Row]:
    """The steps of ``improve``, after the baselines that they start from."""
    return [
        Row(
            label=result.key if result.variant.group == "tricks" else result.variant.trick,
            mean=result.mean("test_accuracy"),
            interval=accuracy_bounds(result),
            values=result.values("test_accuracy"),
            original=result.original.get("test_accuracy"),
            tone="better" if (result.mean("test_accuracy") or 0) >= GOAL else "plain",
            flaw=result.flaw,
        )
        for result in _steps(study)
    ]


def ladder_rows(study: Study) -> list[TableRow]:
    """The same as a table."""
    rows = []
    for result in _steps(study):
        mean = result.mean("test_accuracy")
        reached = None if mean is None else mean >= GOAL
        step = result.variant.group == "improve"
        text = result.variant.trick if step else result.key
        row: TableRow = {"step": link(result, text)}
        row |= {"what it trains with": describe(study, result) if step else "no trick"}
        row |= {"n": num_seeds(result), "test accuracy": result.flaw or number(mean)}
        rows.append(
            row
            | {
                "95% interval": _bounds_text(accuracy_bounds(result)),
                "original": number(result.original.get("test_accuracy")),
                f"at least {GOAL:.2f}": {None: NOTHING, True: "yes", False: "no"}[reached],
            }
        )
    return rows


def stack_rows(study: Study) -> list[TableRow]:
    """The entries of ``combine`` beside the baseline of their net; no family of tests has them."""
    rows = []
    for result in study.group("combine"):
        differences = study.differences(result)
        found = summarise(differences) if differences else None
        row: TableRow = {"name": link(result, result.variant.trick)}
        row |= {"what it trains with": describe(study, result)} | accuracy_cells(result)
        row |= {"difference": signed_number(found.mean if found else None)}
        rows.append(row | {"95% interval": interval(found.interval if found else None)})
    return rows


def _steps(study: Study) -> list[Result]:
    steps = study.group("improve")
    bases = {study.baseline(step).key: study.baseline(step) for step in steps}
    return [*bases.values(), *steps]


def accuracy_bounds(result: Result) -> tuple[float, float] | None:
    """The 95% interval of a variant's mean test accuracy over seeds."""
    values = result.values("test_accuracy")
    found = summarise(values).interval if values else None
    return (found.low, found.high) if found else None


def _bounds_text(bounds: tuple[float, float] | None) -> str:
    return NOTHING if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def curve_points(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Mean learning curves, and those of single seeds where there are few.

    The horizontal axis counts steps in epochs of the plain training split: with copies an epoch has
    twice as many steps, and by epochs it would seem to learn faster just for training longer.
    """
    points = []
    for result in results:
        curves = read_curves(result)
        if not len(curves):
            continue
        recipe = result.variant.recipe
        epoch = recipe.train_images // recipe.batch_size
        seeds = tuple(seed for seed in result.seeds if seed in set(curves["seed"]))
        shown: list[tuple[str, tuple[int, ...]]] = [("", seeds)]
        if 1 < len(seeds) <= MAX_SINGLE_SEEDS:
            shown += [(str(seed), (seed,)) for seed in seeds]
        for name, of_seeds in shown:
            for split in ("train", "validation"):
                points += _points(result, curves, split, of_seeds, name, epoch)
    return points


def _points(
    result: Result,
    curves: pd.DataFrame,
    split: str,
    seeds: tuple[int, ...],
    seed_name: str,
    epoch: int,
) -> list[dict[str, Any]]:
    means = {
        value: mean_curve(curves, split=split, value=value, seeds=seeds, by="step")
        for value in ("loss", "accuracy")
    }
    return [
        {
            "name": result.variant.trick,
            "net": result.variant.model,
            "split": split,
            "seed": seed_name,
            "x": round(float(step) / epoch, 4),
            **{value: round(float(series[step]), 5) for value, series in means.items()},
        }
        for step in means["loss"].index
    ]


def curve_rows(results: Sequence[Result]) -> list[TableRow]:
    """What the curves end with: the figures of the kept weights."""
    names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    rows = []
    for result in results:
        row: TableRow = {"net": result.variant.model}
        row |= {"trick": link(result, result.variant.trick)}
        row |= {name.replace("_", " "): number(result.mean(name)) for name in names}
        statuses = dict.fromkeys(result.status(seed) for seed in result.seeds)
        epochs, kept = mean_epochs(result)
        rows.append(row | {"ended": ", ".join(statuses), "epochs": epochs, "kept at": kept})
    return rows
