"""The report's tables of comparisons: differences with their intervals, p-values and verdicts."""

from __future__ import annotations

from cifar_tricks.base.notation import NOTHING
from cifar_tricks.evidence.cells import (
    Cells,
    comparison_cells,
    contrast_cells,
    number,
    sampling_cells,
    setting,
)
from cifar_tricks.evidence.comparisons import comparison_row
from cifar_tricks.evidence.effects import Effect
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.factorials import Factorial
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.parameters.protocol import follows_original, is_cifar10
from cifar_tricks.report.markdown import Markdown, bold, code, italic, table
from cifar_tricks.report.tables import emphasise, spread, with_spread


def tricks_table(evidence: Evidence, model: str) -> Markdown:
    """The tricks on one net, its baseline first, ours and the original's where it followed the same
    protocol."""
    base = evidence.study.results[f"{model}-baseline"]
    header = ["trick", "n", "test accuracy", "Δ", "95% interval", "p (Holm)", "n to resolve"]
    header += ["original", "Δ", "its claim", "verdict"]
    accuracy = italic(base.flaw) if base.flaw else spread(base.values("test_accuracy"))
    original = number(base.original.get("test_accuracy"))
    rows = [["baseline", _count(base), accuracy, "", "", "", "", original, "", "", ""]]
    for effect in evidence.tricks.of(model):
        cells = _cells(evidence.study, effect)
        row = [effect.result.variant.trick, _count(effect.result), *_ours(effect, cells)]
        row += [cells.original, cells.original_difference, cells.claim]
        rows.append([*row, _verdict(cells)])
    if not follows_original(evidence.study.params):
        header, rows = header[:-4], [row[:-4] for row in rows]
    return table(header, rows, "lrrrrrrrrl")


def sensitivity_table(evidence: Evidence) -> Markdown:
    """The settings of task 3a and what the original said about them."""
    header = ["setting", "net", "n", "test accuracy", "Δ", "95% interval", "p (Holm)"]
    header += ["n to resolve", "original's claim", "verdict"]
    rows = []
    for effect in evidence.sensitivity.effects:
        cells, result = _cells(evidence.study, effect), effect.result
        row = [setting(evidence.study, result), result.variant.model, _count(result)]
        rows.append([*row, *_ours(effect, cells), cells.claim, _verdict(cells)])
    if not is_cifar10(evidence.study.params):
        header, rows = header[:-2], [row[:-2] for row in rows]
    return table(header, rows, "llrrrrrrll")


def factorial_table(factorial: Factorial) -> Markdown:
    """Main effects and interactions of one experiment."""
    rows = [
        [" x ".join(contrast.tricks), *contrast_cells(contrast)] for contrast in factorial.contrasts
    ]
    return table(["effect", "", "Δ", "95% interval", "p (Holm)"], rows, "llr")


def sampling_table(evidence: Evidence) -> Markdown:
    """Per variant: the noise of the test images, near-duplicates in CIFAR-10, calibration."""
    header = ["variant", "test accuracy", "Wilson's 95% interval of one net"]
    near = is_cifar10(evidence.study.params)
    header += ["without near-duplicates"] * near + ["calibration error"]
    rows = []
    for key, score in evidence.sampled.items():
        result = evidence.study.results[key]
        cells = sampling_cells(score, result)
        if not near:
            del cells[2]
        flaw = [] if score else [italic(result.flaw or "missing")]
        rows.append([code(key), *flaw, *cells[len(flaw) :]])
    return table(header, rows, "lr")


def _cells(study: StudyResults, effect: Effect) -> Cells:
    return comparison_cells(comparison_row(study, effect))


def _count(result: Result) -> str:
    """n of a variant; a dash where it has no result."""
    return NOTHING if result.flaw else str(len(result.seeds))


def _ours(effect: Effect, cells: Cells) -> list[str]:
    """Accuracy or what is wrong, difference, interval, p-value, and how many seeds it takes."""
    flaw = effect.result.flaw
    accuracy = italic(flaw) if flaw else with_spread(cells.accuracy, cells.spread)
    if effect.comparison is None:
        return [accuracy, NOTHING if flaw else italic(cells.flaw), *[NOTHING] * 3]
    mean = effect.comparison.summary.mean
    ours = [emphasise(cell, mean) for cell in (accuracy, cells.difference)]
    return [*ours, cells.interval, cells.p, cells.to_resolve]


def _verdict(cells: Cells) -> str:
    return bold(cells.verdict) if cells.verdict in ("confirmed", "contradicted") else cells.verdict
