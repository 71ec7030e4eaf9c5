"""The tables of the report: numbers as text, rows by variant, holes shown as what they are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import pandas as pd

from cifar_tricks.backbones import BACKBONES
from cifar_tricks.markdown import Markdown, bold, code, italic, table
from cifar_tricks.original import original_result
from cifar_tricks.predictions import class_accuracies
from cifar_tricks.results import GOAL, Result, Study

NOTHING = "—"


def number(value: float | None) -> str:
    """An accuracy or a loss with four digits; a dash for None."""
    return NOTHING if value is None else f"{value:.4f}"


def signed_number(value: float | None) -> str:
    """The same with its sign."""
    return NOTHING if value is None else f"{value:+.4f}"


def spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and, for more than one value, their standard deviation below; a dash for none."""
    if not values:
        return NOTHING
    text = signed_number(fmean(values)) if signed else number(fmean(values))
    return Markdown(f"{text}<br>±&nbsp;{stdev(values):.4f}") if len(values) > 1 else text


def emphasise(text: str, value: float | None) -> str:
    """The text, in bold where the value is an improvement (positive)."""
    return bold(text) if value is not None and value > 0 else text


def _ours(study: Study, result: Result) -> list[str]:
    """Two cells: the accuracy, or what is wrong with the variant, and the difference."""
    if result.flaw:
        return [italic(result.flaw), NOTHING]
    differences = study.differences(result)
    mean = fmean(differences) if differences else None
    values = emphasise(spread(result.values("test_accuracy")), mean)
    if result is study.baseline(result):
        return [values, ""]
    return [values, emphasise(spread(differences, signed=True), mean)]


def reference_table(study: Study) -> Markdown:
    """Task 2: the reference net's accuracies beside the original's."""
    (result,) = study.group("reference")
    rows = [
        [
            f"{split} accuracy",
            italic(result.flaw) if result.flaw else spread(result.values(f"{split}_accuracy")),
            number(result.original.get(f"{split}_accuracy")),
        ]
        for split in ("train", "validation", "test")
    ]
    count = f"{result.run.num_parameters:,}" if result.run else NOTHING
    rows.append(["parameters", count, "390,410"])
    rows.append(["seeds", num_seeds(result), "1"])
    return table(["", "ours", "original"], rows, "lr")


def transfer_table(study: Study, result: Result) -> Markdown:
    """Task 4a: the accuracies of the net from ImageNet beside the original's ResNet-18."""
    original = original_result("transfer-resnet18") or {}
    rows = [
        [
            f"{split} accuracy",
            italic(result.flaw) if result.flaw else spread(result.values(f"{split}_accuracy")),
            number(original.get(f"{split}_accuracy")),
        ]
        for split in ("train", "validation", "test")
    ]
    rows.append(["status", ", ".join(dict.fromkeys(map(result.status, result.seeds))), ""])
    rows.append(["trained parameters", f"{result.run.num_parameters:,}" if result.run else "", ""])
    rows.append(["seeds", num_seeds(result), "1"])
    title = bold(BACKBONES[result.variant.model].title)
    return table(["", title, "original: ResNet-18"], rows, "lr")


def stack_table(study: Study, group: str) -> Markdown:
    """The variants of ``improve`` or ``combine``: what they change and how far they come."""
    header = ["step", "net", "what it trains with", "n", "test accuracy", "from the baseline"]
    rows = []
    for result in study.group(group):
        mean = result.mean("test_accuracy")
        values, change = _ours(study, result)
        row: list[str] = [result.variant.trick, result.variant.model, describe(study, result)]
        row += [num_seeds(result), values, change]
        if group == "improve":
            original = result.original.get("test_accuracy")
            row += ["yes" if mean is not None and mean >= GOAL else "no" if mean else NOTHING]
            row += [number(original)]
        rows.append(row)
    if group == "improve":
        header += [f"≥ {GOAL:.2f}", "original"]
    return table(header, rows, "lllr")


def num_seeds(result: Result) -> str:
    """How many seeds the variant's figures are of; a dash where nothing was trained."""
    return str(len(result.seeds)) if result.run else NOTHING


def mean_epochs(result: Result) -> list[str]:
    """After how many epochs the training ended and its kept weights were reached, means over
    seeds; dashes where nothing was trained. With copies of the images an epoch is twice as long."""
    if not result.run or result.flaw:
        return [NOTHING, NOTHING]
    ends = result.run.seeds.values()
    steps = [fmean(end.steps for end in ends), fmean(end.best_step for end in ends)]
    return [f"{count / result.run.steps_per_epoch:.1f}" for count in steps]


def describe(study: Study, result: Result) -> str:
    """What a stack of tricks consists of, e.g. "augment, leaky_relu (negative_slope 0.2)"."""
    stacks = {"improve": study.params.improve, "combine": study.params.combine}
    stack = stacks[result.variant.group][result.variant.trick]
    parts = []
    for trick, numbers in stack.tricks.items():
        given = ", ".join(f"{name} {value}" for name, value in numbers.items())
        parts.append(f"{trick} ({given})" if given else trick)
    for name, value in {**stack.net, **stack.train}.items():
        text = "/".join(map(str, value)) or "none" if isinstance(value, list | tuple) else value
        parts.append(f"{name} {text}")
    return ", ".join(parts)


def class_table(predictions: pd.DataFrame, results: Sequence[Result]) -> Markdown:
    """Accuracy per class, a column per variant."""
    columns = [class_accuracies(predictions, result) for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(number(column.get(name)) for column in columns)] for name in names]
    return table(["class", *(result.key for result in results)], rows, "lr")


def details_table(study: Study) -> Markdown:
    """Every variant with all its figures; below ours, in the same cell, the original's."""
    header = ["variant", "parameters", "n", "training", "epochs", "kept at", "train loss", "train"]
    header += ["validation", "test"]
    names = ["train_loss", "train_accuracy", "validation_accuracy", "test_accuracy"]
    rows = []
    for result in study.results.values():
        row: list[str] = [code(result.key)]
        row += [f"{result.run.num_parameters:,}" if result.run else NOTHING, num_seeds(result)]
        row += [", ".join(dict.fromkeys(result.status(seed) for seed in result.seeds))]
        row += mean_epochs(result)
        for name in names:
            cell = spread(result.values(name))
            original = result.original.get(name)
            row += [Markdown(f"{cell}<br>*{number(original)}*") if original else cell]
        rows.append(row)
    return table(header, rows, "lrrlr")
