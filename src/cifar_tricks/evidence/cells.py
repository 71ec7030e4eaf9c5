"""The cells of the tables as plain text; Markdown, HTML, LaTeX and the README wrap them.

A number, an interval, a p-value and a comparison are written here and nowhere else. How a cell
stands out, such as in bold, is a matter of those who show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from cifar_tricks.base.notation import FRACTIONS, NOTHING, Notation
from cifar_tricks.evidence.factorials import Contrast
from cifar_tricks.evidence.sampling import SampledAccuracy
from cifar_tricks.evidence.statistics import Interval
from cifar_tricks.evidence.study_results import IN_VIEWS, Result, StudyResults
from cifar_tricks.parameters.improve import improve_step

SAID = {"better": "better", "worse": "worse", "little": "little effect"}
number, signed_number, p_value = FRACTIONS.number, FRACTIONS.signed, FRACTIONS.p_value


def interval(value: Interval | None, *, signed: bool = True) -> str:
    """Both bounds; a dash for None."""
    if value is None:
        return NOTHING
    return FRACTIONS.interval(value.low, value.high, signed=signed)


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean and, for more than one value, their standard deviation, on one line."""
    return _with_spread(number(fmean(values)), number(stdev(values)) if len(values) > 1 else "")


def _with_spread(mean: str, std: str) -> str:
    return f"{mean} ± {std}" if std else mean


@dataclass(frozen=True, kw_only=True)
class Cells:
    """One comparison with a baseline in words; a cell without a value is a dash, spread is empty.

    Args:
        accuracy: mean over the seeds; empty where the variant has a flaw.
        spread: standard deviation over the seeds.
        flaw: why there is no comparison, else empty.
        difference: mean of the pairs.
        interval: its 95% interval.
        p: Holm's p-value.
        mcnemar: McNemar's p-value.
        baseline: accuracy of the baseline.
        original: accuracy in the original report.
        original_baseline: the same of the baseline.
        original_difference: between these.
        claim: what the original said.
        verdict: on that.
        to_resolve: about how many seeds a difference of this size would take.
    """

    accuracy: str
    spread: str
    flaw: str
    difference: str
    interval: str
    p: str
    mcnemar: str
    baseline: str
    original: str
    original_baseline: str
    original_difference: str
    claim: str
    verdict: str
    to_resolve: str

    @property
    def accuracy_and_spread(self) -> str:
        """Both on one line."""
        return _with_spread(self.accuracy, self.spread)

    @property
    def original_and_difference(self) -> str:
        """Both on one line; a dash where the original printed no difference."""
        if self.original_difference == NOTHING:
            return NOTHING
        return f"{self.original} ({self.original_difference})"


def comparison_cells(row: Mapping[str, Any], notation: Notation = FRACTIONS) -> Cells:
    """The cells of a comparison.

    Args:
        row: of :func:`cifar_tricks.evidence.comparisons.comparison_row`, or of ``comparisons.csv``.
        notation: how numbers are written.
    """
    of = {name: None if pd.isna(value) else value for name, value in row.items()}
    theirs, change = of["original_accuracy"], of["original_difference"]
    std, needed = of["test_accuracy_std"], of["seeds_to_resolve"]
    return Cells(
        accuracy=notation.number(of["test_accuracy"]),
        spread="" if std is None else notation.number(std),
        flaw=of["flaw"] or "",
        difference=notation.signed(of["difference"]),
        interval=notation.interval(of["difference_low"], of["difference_high"]),
        p=notation.p_value(of["p_holm"]),
        mcnemar=notation.p_value(of["mcnemar_p"]),
        baseline=notation.number(of["baseline_accuracy"]),
        original=notation.number(theirs),
        original_baseline=notation.number(None if change is None else theirs - change),
        original_difference=notation.signed(change),
        claim=SAID.get(of["claim"] or "", notation.nothing),
        verdict=of["verdict"] or notation.nothing,
        to_resolve=notation.nothing if needed is None else f"{needed:.0f}",
    )


def contrast_cells(contrast: Contrast) -> list[str]:
    """Kind, difference, interval and p-value of a main effect or an interaction."""
    summary = contrast.comparison.summary
    kind = "main effect" if len(contrast.tricks) == 1 else "interaction"
    return [
        kind,
        signed_number(summary.mean),
        interval(summary.interval),
        p_value(contrast.adjusted_p),
    ]


def sampling_cells(score: SampledAccuracy | None, result: Result) -> list[str]:
    """Test accuracy, Wilson's interval, accuracy without near-duplicates, calibration error."""
    if score is None:
        return [NOTHING] * 4
    bounds = interval(score.interval, signed=False)
    error = number(result.mean("ece"))
    return [number(score.accuracy), bounds, number(score.without_duplicates), error]


def in_views(result: Result) -> str:
    """The accuracy in several views of each image, to stand behind the plain one; "" for a recipe
    without such views."""
    mean = result.mean(IN_VIEWS)
    return "" if mean is None else f" ({number(mean)} in views)"


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


def setting(study: StudyResults, result: Result) -> str:
    """What an entry of ``sensitivity`` changes, e.g. "batch_size 32"."""
    entry = study.params.sensitivity[result.variant.trick]
    return ", ".join(
        change_text(name, value) for name, value in {**entry.net, **entry.train}.items()
    )


def describe(study: StudyResults, result: Result) -> str:
    """What a stack of tricks consists of, e.g. "augment, leaky_relu (negative_slope 0.2)"."""
    params, name = study.params, result.variant.trick
    of_improve = result.variant.group == "improve"
    stack = improve_step(params, name) if of_improve else params.combine[name]
    parts = []
    for trick, numbers in stack.tricks.items():
        given = ", ".join(f"{name} {value}" for name, value in numbers.items())
        parts.append(f"{trick} ({given})" if given else trick)
    parts += [change_text(name, value) for name, value in {**stack.net, **stack.train}.items()]
    return ", ".join(parts)


def change_text(name: str, value: object) -> str:
    """A parameter of the net or the training with its value."""
    text = "/".join(map(str, value)) if isinstance(value, list | tuple) else value
    return f"{name} {'none' if text in (None, '') else text}"
