"""What the page says about comparisons: the answer in words, rows for charts and for tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from cifar_tricks.analysis import Effect, Family
from cifar_tricks.evidence_tables import SAID, interval, p_value, setting
from cifar_tricks.interactions import Factorial
from cifar_tricks.interval_charts import Row
from cifar_tricks.report_tables import NOTHING, number, signed_number
from cifar_tricks.results import Result, Study
from cifar_tricks.statistics import Comparison, summarise

TableRow = dict[str, object]


def effect_rows(study: Study, effects: Sequence[Effect], labels: Sequence[str]) -> list[Row]:
    """A line per comparison."""
    return [
        Row(
            label=label,
            mean=effect.comparison.summary.mean if effect.comparison else None,
            interval=bounds(effect.comparison),
            values=study.differences(effect.result),
            original=effect.original,
            tone=_tone(effect),
            flaw=effect.flaw,
            note=effect.verdict or "no claim",
        )
        for effect, label in zip(effects, labels, strict=True)
    ]


def factorial_rows(factorial: Factorial) -> list[Row]:
    """A line per main effect and interaction."""
    return [
        Row(
            label=" \N{MULTIPLICATION SIGN} ".join(contrast.tricks),
            mean=contrast.comparison.summary.mean,
            interval=bounds(contrast.comparison),
            tone=_sign(contrast.comparison.summary.mean, contrast.adjusted_p),
            note="main effect" if len(contrast.tricks) == 1 else "interaction",
        )
        for contrast in factorial.contrasts
    ]


def bounds(comparison: Comparison | None) -> tuple[float, float] | None:
    """The interval of a comparison's mean."""
    found = comparison.summary.interval if comparison else None
    return (found.low, found.high) if found else None


def overview_rows(study: Study, family: Family) -> list[TableRow]:
    """The overview table: baselines and tricks on every net."""
    rows = []
    for model in study.params.models:
        base = study.results[f"{model}-baseline"]
        original = base.original.get("test_accuracy")
        ours = {"trick": link(base, "baseline"), "net": model} | accuracy_cells(base)
        rows.append(ours | dict.fromkeys(_COMPARED, "") | {"original": number(original)})
        for effect in family.of(model):
            result = effect.result
            row: TableRow = {"trick": link(result, result.variant.trick), "net": model}
            rows.append(row | accuracy_cells(result) | _compared(effect))
    return rows


_COMPARED = (
    "difference",
    "95% interval",
    "p (Holm)",
    "McNemar p",
    "original",
    "its claim is",
    "one run may give it",
)


def sensitivity_rows(study: Study, family: Family) -> list[TableRow]:
    """The settings of task 3a."""
    rows = []
    for effect in family.effects:
        result = effect.result
        row: TableRow = {"setting": link(result, setting(study, result))}
        row |= {"net": result.variant.model} | accuracy_cells(result)
        compared = _compared(effect)
        kept = ("difference", "95% interval", "p (Holm)")
        row |= {name: compared[name] for name in kept}
        row |= {"original says": SAID.get(effect.claim or "", NOTHING)}
        rows.append(row | {"its claim is": compared["its claim is"]})
    return rows


def factorial_table_rows(factorial: Factorial) -> list[TableRow]:
    """Main effects and interactions."""
    return [
        {
            "effect": " \N{MULTIPLICATION SIGN} ".join(contrast.tricks),
            "kind": "main effect" if len(contrast.tricks) == 1 else "interaction",
            "difference": signed_number(contrast.comparison.summary.mean),
            "95% interval": interval(contrast.comparison.summary.interval),
            "p (Holm)": p_value(contrast.adjusted_p),
        }
        for contrast in factorial.contrasts
    ]


def link(result: Result, text: str) -> Markup:
    """The text, leading to the variant's runs at the end of the page."""
    return Markup('<a href="#run-{}">{}</a>').format(result.key, text)


def answer(study: Study, family: Family) -> list[str]:
    """The answer in sentences: per net what helps and what hurts, then the claims."""
    if not family.resolvable:
        return []
    sentences = []
    for model in study.params.models:
        effects = [effect for effect in family.of(model) if effect.comparison]
        if not effects:
            sentences.append(f"{model}: no trick has a result yet.")
            continue
        better = [e.result.variant.trick for e in effects if _tone(e) == "better"]
        worse = [e.result.variant.trick for e in effects if _tone(e) == "worse"]
        rest = [e.result.variant.trick for e in effects if not e.significant]
        parts = [f"{_listed(better)} {'helps' if len(better) == 1 else 'help'}" if better else ""]
        parts += [f"{_listed(worse)} {'hurts' if len(worse) == 1 else 'hurt'}" if worse else ""]
        parts += [f"{_listed(rest)} cannot be told from no effect" if rest else ""]
        sentences.append(f"{model}: {'; '.join(part for part in parts if part)}.")
    claims = Counter(e.verdict for e in family.effects if e.verdict and e.comparison)
    counts = [f"{claims[v]} {v}" for v in ("confirmed", "contradicted", "not resolved")]
    total = sum(claims.values())
    return [
        *sentences,
        f"Of the original's {total} claims with a result here: {', '.join(counts)}.",
    ]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _tone(effect: Effect) -> str:
    mean = effect.comparison.summary.mean if effect.comparison else 0.0
    return _sign(mean, effect.adjusted_p)


def _sign(mean: float, adjusted_p: float | None) -> str:
    if adjusted_p is None or adjusted_p > 0.05:
        return "unclear"
    return "better" if mean > 0 else "worse"


def accuracy_cells(result: Result) -> TableRow:
    """The number of seeds and the accuracy over them, or what is wrong with the variant."""
    values = result.values("test_accuracy")
    if not values:
        flaw = Markup('<em class="flaw">{}</em>').format(result.flaw)
        return {"n": NOTHING, "test accuracy": flaw}
    summary = summarise(values)
    spread = "" if summary.std is None else f" ± {summary.std:.4f}"
    return {"n": str(summary.n), "test accuracy": f"{summary.mean:.4f}{spread}"}


def _compared(effect: Effect) -> TableRow:
    comparison, mcnemar = effect.comparison, effect.mcnemar
    expected = {None: NOTHING, True: "yes", False: "no"}[effect.original_expected]
    row: TableRow = {
        "difference": signed_number(comparison.summary.mean if comparison else None),
        "95% interval": interval(comparison.summary.interval if comparison else None),
        "p (Holm)": p_value(effect.adjusted_p),
        "McNemar p": p_value(mcnemar.p_value) if mcnemar else NOTHING,
        "original": NOTHING,
    }
    if effect.original is not None:
        accuracy = number(effect.result.original.get("test_accuracy"))
        row["original"] = f"{accuracy} ({signed_number(effect.original)})"
    shown = Markup('<span class="verdict {}">{}</span>')
    verdict = shown.format(effect.verdict.replace(" ", "-"), effect.verdict)
    return row | {
        "its claim is": verdict if effect.verdict else NOTHING,
        "one run may give it": expected,
    }
