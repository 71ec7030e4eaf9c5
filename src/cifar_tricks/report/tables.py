"""The tables of the report: numbers as text, rows by variant, holes shown as what they are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from cifar_tricks.base.notation import NOTHING
from cifar_tricks.evaluation.original import original_result
from cifar_tricks.evidence.cells import (
    describe,
    in_views,
    mean_epochs,
    num_seeds,
    number,
    signed_number,
)
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.provenance import SINGLE
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.parameters.protocol import is_cifar10
from cifar_tricks.report.markdown import Markdown, bold, code, escape, italic, table
from cifar_tricks.training.backbones import BACKBONES


def spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and, for more than one value, their standard deviation below; a dash for none."""
    if not values:
        return NOTHING
    text = signed_number(fmean(values)) if signed else number(fmean(values))
    return with_spread(text, number(stdev(values)) if len(values) > 1 else "")


def with_spread(mean: str, std: str) -> str:
    """A mean with its standard deviation below, where there is one."""
    return Markdown(f"{mean}<br>±&nbsp;{std}") if std else mean


def emphasise(text: str, value: float | None) -> str:
    """The text, in bold where the value is an improvement (positive)."""
    return bold(text) if value is not None and value > 0 else text


def _ours(study: StudyResults, result: Result) -> list[str]:
    """Two cells: the accuracy, or what is wrong with the variant, and the difference."""
    if result.flaw:
        return [italic(result.flaw), NOTHING]
    differences = study.differences(result)
    mean = fmean(differences) if differences else None
    values = emphasise(spread(result.values("test_accuracy")), mean)
    if result is study.baseline(result):
        return [values, ""]
    return [values, emphasise(spread(differences, signed=True), mean)]


def reference_table(study: StudyResults) -> Markdown:
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
    return _beside_original(study, ["", "ours", "original"], rows)


def transfer_table(study: StudyResults, result: Result) -> Markdown:
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
    return _beside_original(study, ["", title, "original: ResNet-18"], rows)


def _beside_original(study: StudyResults, header: list[str], rows: list[list[str]]) -> Markdown:
    """A table whose last column has the original's figures; without it on other data."""
    if not is_cifar10(study.params):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows, "lr")


def stack_table(study: StudyResults, group: str) -> Markdown:
    """The variants of ``improve`` or ``combine``: what they change and how far they come."""
    header = ["step", "net", "what it trains with", "n", "test accuracy", "from the baseline"]
    rows, goal = [], study.goal if group == "improve" else None
    for result in study.group(group):
        mean = result.mean("test_accuracy")
        values, change = _ours(study, result)
        row: list[str] = [result.variant.trick, result.variant.model, describe(study, result)]
        row += [num_seeds(result), Markdown(escape(values) + in_views(result)), change]
        if goal:
            original = result.original.get("test_accuracy")
            row += ["yes" if mean is not None and mean >= goal else "no" if mean else NOTHING]
            row += [number(original)]
        rows.append(row)
    if goal:
        header += [f"≥ {goal:.2f}", "original"]
    return table(header, rows, "lllr")


def class_table(evidence: Evidence) -> Markdown:
    """Accuracy per class, a column per variant."""
    columns = evidence.classes
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [[name, *(number(column.get(name)) for column in columns.values())] for name in names]
    return table(["class", *columns], rows, "lr")


def details_table(study: StudyResults) -> Markdown:
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


def facts_table(evidence: Evidence) -> Markdown:
    """How far to believe the report: seeds, images, epochs, precision."""
    params = evidence.study.params
    scale = params.scales[params.scale]
    facts = {
        "seeds": evidence.seeds_text,
        "training images": f"{scale.train_images:,}",
        "validation images": f"{scale.validation_images:,}",
        "test images": f"{len(evidence.predictions):,}",
        "epochs": f"at most {scale.num_epochs}",
        "precision": scale.precision,
        "device": ", ".join(evidence.provenance.devices),
        "threads": scale.threads,
    }
    return table(list(facts), [list(facts.values())])


def costs_table(evidence: Evidence) -> Markdown:
    """Wall time by group, net and device, of the seeds that came from ``records``."""
    rows = []
    for cost in evidence.provenance.costs:
        least, most = (f"{bound / 60:.1f}" for bound in (min(cost.seconds), max(cost.seconds)))
        each = least if least == most else f"{least} to {most}"
        runs, minutes = str(len(cost.seconds)), f"{sum(cost.seconds) / 60:,.1f}"
        rows.append([_part(cost.example), cost.device, runs, minutes, each])
    return table(["trained", "on", "runs", "minutes in all", "minutes each"], rows, "llr")


def _part(result: Result) -> str:
    """A group of variants that take about as long."""
    variant = result.variant
    if variant.group == "tricks":
        return Markdown(f"{code(variant.model)} with each trick")
    if variant.group in SINGLE:
        return code(result.key)
    return Markdown(f"{variant.group} on {code(variant.model)}")
