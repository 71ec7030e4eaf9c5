"""The page's tables beside the comparisons: learning curves, the steps of the recipe, stacks."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_tricks.base.notation import NOTHING
from cifar_tricks.charts.results import accuracy_interval
from cifar_tricks.evidence.cells import (
    describe,
    in_views,
    interval,
    mean_epochs,
    num_seeds,
    number,
    signed_number,
)
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.statistics import summarise
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.report.page.comparisons import TableRow, accuracy_cells, link


def ladder_rows(evidence: Evidence) -> list[TableRow]:
    """The steps of ``improve``, after the baselines that they start from."""
    rows, goal = [], evidence.study.goal
    for result in evidence.steps:
        mean = result.mean("test_accuracy")
        step = result.variant.group == "improve"
        text = result.variant.trick if step else result.key
        row: TableRow = {"step": link(result, text)}
        row |= {
            "what it trains with": describe(evidence.study, result) if step else "no trick",
            "n": num_seeds(result),
            "test accuracy": result.flaw or number(mean) + in_views(result),
            "95% interval": interval(accuracy_interval(result), signed=False),
        }
        if goal:
            reached = None if mean is None else mean >= goal
            row |= {
                "original": number(result.original.get("test_accuracy")),
                f"at least {goal:.2f}": {None: NOTHING, True: "yes", False: "no"}[reached],
            }
        rows.append(row)
    return rows


def stack_rows(study: StudyResults) -> list[TableRow]:
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
