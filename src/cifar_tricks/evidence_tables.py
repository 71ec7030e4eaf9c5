"""The report's tables of comparisons: differences with their intervals, p-values and verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cifar_tricks.analysis import Effect, Family
from cifar_tricks.interactions import Factorial
from cifar_tricks.markdown import Markdown, bold, code, italic, table
from cifar_tricks.report_tables import NOTHING, emphasise, number, signed_number, spread
from cifar_tricks.results import Result, Study
from cifar_tricks.sampling import score_images
from cifar_tricks.statistics import Comparison, Interval

SAID = {"better": "better", "worse": "worse", "little": "little effect"}


def tricks_table(study: Study, family: Family, model: str) -> Markdown:
    """The tricks on one net, its baseline first, ours and the original's."""
    base = study.results[f"{model}-baseline"]
    original = base.original.get("test_accuracy")
    header = ["trick", "n", "test accuracy", "Δ", "95% interval", "p (Holm)"]
    header += ["original", "Δ", "its claim", "verdict"]
    accuracy = italic(base.flaw) if base.flaw else spread(base.values("test_accuracy"))
    rows = [["baseline", _count(base), accuracy, "", "", "", number(original), "", "", ""]]
    for effect in family.of(model):
        row = [effect.result.variant.trick, _count(effect.result), *_ours(effect)]
        row += [number(effect.result.original.get("test_accuracy"))]
        row += [signed_number(effect.original), SAID.get(effect.claim or "", NOTHING)]
        rows.append([*row, _verdict(effect)])
    return table(header, rows, "lrrrrrrrl")


def sensitivity_table(study: Study, family: Family) -> Markdown:
    """The settings of task 3a and what the original said about them."""
    header = ["setting", "net", "n", "test accuracy", "Δ", "95% interval", "p (Holm)"]
    header += ["original's claim", "verdict"]
    rows = [
        [
            setting(study, effect.result),
            effect.result.variant.model,
            _count(effect.result),
            *_ours(effect),
            SAID.get(effect.claim or "", NOTHING),
            _verdict(effect),
        ]
        for effect in family.effects
    ]
    return table(header, rows, "llrrrrrll")


def setting(study: Study, result: Result) -> str:
    """What an entry of ``sensitivity`` changes, e.g. "batch_size 32"."""
    entry = study.params.sensitivity[result.variant.trick]
    parts = []
    for name, value in {**entry.net, **entry.train}.items():
        text = "/".join(map(str, value)) if isinstance(value, list | tuple) else value
        parts.append(f"{name} {'none' if text is None else text}")
    return ", ".join(parts)


def factorial_table(factorial: Factorial) -> Markdown:
    """Main effects and interactions of one experiment."""
    rows = [
        [
            " x ".join(contrast.tricks),
            "main effect" if len(contrast.tricks) == 1 else "interaction",
            signed_number(contrast.comparison.summary.mean),
            interval(contrast.comparison.summary.interval),
            p_value(contrast.adjusted_p),
        ]
        for contrast in factorial.contrasts
    ]
    return table(["effect", "", "Δ", "95% interval", "p (Holm)"], rows, "llr")


def sampling_table(predictions: pd.DataFrame, results: Sequence[Result]) -> Markdown:
    """Per variant: the noise of the test images, accuracy without near-duplicates, calibration."""
    header = ["variant", "test accuracy", "Wilson's 95% interval of one net"]
    header += ["without near-duplicates", "calibration error"]
    rows = []
    for result in results:
        score = score_images(predictions, result)
        if score is None:
            rows.append([code(result.key), italic(result.flaw or "missing"), *[NOTHING] * 3])
            continue
        row = [code(result.key), number(score.accuracy), interval(score.interval, signed=False)]
        row += [number(score.without_duplicates), number(result.mean("ece"))]
        rows.append(row)
    return table(header, rows, "lr")


def interval(value: Interval | None, *, signed: bool = True) -> str:
    """Both bounds; a dash for None."""
    if value is None:
        return NOTHING
    show = signed_number if signed else number
    return f"{show(value.low)} to {show(value.high)}"


def p_value(value: float | None) -> str:
    """With three digits, "< 0.001" below; a dash for None."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _count(result: Result) -> str:
    """n of a variant; a dash where it has no result."""
    return NOTHING if result.flaw else str(len(result.seeds))


def _ours(effect: Effect) -> list[str]:
    """Four cells: accuracy or what is wrong, difference, interval, p-value."""
    values = effect.result.values("test_accuracy")
    accuracy = italic(effect.result.flaw) if effect.result.flaw else spread(values)
    comparison: Comparison | None = effect.comparison
    if comparison is None:
        return [
            accuracy,
            italic(effect.flaw) if not effect.result.flaw else NOTHING,
            NOTHING,
            NOTHING,
        ]
    mean = comparison.summary.mean
    return [
        emphasise(accuracy, mean),
        emphasise(signed_number(mean), mean),
        interval(comparison.summary.interval),
        p_value(effect.adjusted_p),
    ]


def _verdict(effect: Effect) -> str:
    if not effect.verdict:
        return NOTHING
    return bold(effect.verdict) if effect.verdict != "not resolved" else effect.verdict
