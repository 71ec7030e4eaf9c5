"""What the page says about comparisons: the answer in words, and rows for tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from cifar_tricks.base.notation import NOTHING
from cifar_tricks.evidence.cells import (
    comparison_cells,
    contrast_cells,
    mean_and_spread,
    number,
    setting,
)
from cifar_tricks.evidence.comparisons import comparison_row
from cifar_tricks.evidence.effects import Effect
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.factorials import Factorial
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.evidence.verdicts import VERDICTS
from cifar_tricks.parameters.protocol import follows_original, is_cifar10

TableRow = dict[str, object]
ORIGINALS = ("original", "its claim is", "one run may give it")
COMPARED = ("difference", "95% interval", "p (Holm)", "n to resolve", "McNemar p", *ORIGINALS)


def overview_rows(evidence: Evidence) -> list[TableRow]:
    """The overview table: baselines and tricks on every net."""
    study, rows = evidence.study, []
    for model in study.params.models:
        base = study.results[f"{model}-baseline"]
        original = number(base.original.get("test_accuracy"))
        row: TableRow = {"trick": link(base, "baseline"), "net": model} | accuracy_cells(base)
        rows.append(row | dict.fromkeys(COMPARED, "") | {"original": original})
        for effect in evidence.tricks.of(model):
            result = effect.result
            row = {"trick": link(result, result.variant.trick), "net": model}
            rows.append(row | accuracy_cells(result) | _compared(study, effect))
    if not follows_original(study.params):
        rows = [{name: row[name] for name in row if name not in ORIGINALS} for row in rows]
    return rows


def sensitivity_rows(evidence: Evidence) -> list[TableRow]:
    """The settings of task 3a."""
    study, rows = evidence.study, []
    for effect in evidence.sensitivity.effects:
        result, compared = effect.result, _compared(study, effect)
        row: TableRow = {"setting": link(result, setting(study, result))}
        row |= {"net": result.variant.model} | accuracy_cells(result)
        row |= {name: compared[name] for name in ("difference", "95% interval", "p (Holm)")}
        if is_cifar10(study.params):
            row |= {"original says": comparison_cells(comparison_row(study, effect)).claim}
            row |= {"its claim is": compared["its claim is"]}
        rows.append(row)
    return rows


def factorial_rows(factorial: Factorial) -> list[TableRow]:
    """Main effects and interactions."""
    header = ("effect", "kind", "difference", "95% interval", "p (Holm)")
    times = " \N{MULTIPLICATION SIGN} "
    return [
        dict(zip(header, [times.join(c.tricks), *contrast_cells(c)], strict=True))
        for c in factorial.contrasts
    ]


def link(result: Result, text: str) -> Markup:
    """The text, leading to the variant's runs at the end of the page."""
    return Markup('<a href="#run-{}">{}</a>').format(result.key, text)


def answer(evidence: Evidence) -> list[str]:
    """The answer in sentences: per net what helps and what hurts, then the claims."""
    family = evidence.tricks
    if not family.resolvable:
        return []
    sentences = []
    for model in evidence.study.params.models:
        effects = [effect for effect in family.of(model) if effect.comparison]
        if not effects:
            sentences.append(f"{model}: no trick has a result yet.")
            continue
        names: dict[str, list[str]] = {"better": [], "worse": [], "unclear": [], "few": []}
        for effect in effects:
            few = effect.direction == "unclear" and effect.pairs < family.seeds_needed
            names["few" if few else effect.direction].append(effect.result.variant.trick)
        better, worse, rest, untold = names.values()
        parts = [f"{_listed(better)} {'helps' if len(better) == 1 else 'help'}" if better else ""]
        parts += [f"{_listed(worse)} {'hurts' if len(worse) == 1 else 'hurt'}" if worse else ""]
        parts += [f"{_listed(rest)} cannot be told from no effect" if rest else ""]
        has = "has" if len(untold) == 1 else "have"
        parts += [f"{_listed(untold)} {has} too few seeds to tell" if untold else ""]
        sentences.append(f"{model}: {'; '.join(part for part in parts if part)}.")
    claims = Counter(e.verdict for e in family.effects if e.verdict and e.comparison)
    counts = ", ".join(f"{claims[v]} {v}" for v in VERDICTS)
    if total := sum(claims.values()):
        sentences.append(f"Of the original's {total} claims with a result here: {counts}.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def accuracy_cells(result: Result) -> TableRow:
    """The number of seeds and the accuracy over them, or what is wrong with the variant."""
    values = result.values("test_accuracy")
    if not values:
        flaw = Markup('<em class="flaw">{}</em>').format(result.flaw)
        return {"n": NOTHING, "test accuracy": flaw}
    return {"n": str(len(values)), "test accuracy": mean_and_spread(values)}


def _compared(study: StudyResults, effect: Effect) -> TableRow:
    cells = comparison_cells(comparison_row(study, effect))
    verdict = Markup('<span class="verdict {}">{}</span>')
    shown = verdict.format(effect.verdict.replace(" ", "-"), cells.verdict)
    expected = {None: NOTHING, True: "yes", False: "no"}[effect.original_expected]
    theirs = cells.original_and_difference
    last = (shown if effect.verdict else NOTHING, expected)
    ours = (cells.difference, cells.interval, cells.p, cells.to_resolve)
    row = (*ours, cells.mcnemar, theirs, *last)
    return dict(zip(COMPARED, row, strict=True))
