"""One row per comparison with a baseline: the data behind ``comparisons.csv``, the LaTeX table and
the README's table."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import pandas as pd

from cifar_tricks.base.notation import POINTS
from cifar_tricks.base.wording import in_latex
from cifar_tricks.evidence.cells import comparison_cells
from cifar_tricks.evidence.effects import Effect, Family
from cifar_tricks.evidence.statistics import summarise
from cifar_tricks.evidence.study_results import StudyResults
from cifar_tricks.parameters.protocol import dataset, is_cifar10
from cifar_tricks.parameters.schema import Params

COLUMNS = (
    "key",
    "group",
    "model",
    "trick",
    "n",
    "flaw",
    "test_accuracy",
    "test_accuracy_std",
    "baseline_accuracy",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "p_holm",
    "mcnemar_only_ours",
    "mcnemar_only_baseline",
    "mcnemar_p",
    "original_accuracy",
    "original_difference",
    "claim",
    "verdict",
    "seeds_to_resolve",
)


def comparison_table(study: StudyResults, families: Iterable[Family]) -> pd.DataFrame:
    """Every comparison with its evidence, columns COLUMNS.

    Accuracies and differences are fractions, the interval is that of 95%. Empty: what does not
    exist, such as an interval of one seed; ``p_value`` and ``p_holm`` also where the number of
    seeds could never be significant.
    """
    rows = [comparison_row(study, effect) for family in families for effect in family.effects]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def comparison_row(study: StudyResults, effect: Effect) -> dict[str, Any]:
    """One comparison, by the names of COLUMNS; None where there is nothing."""
    result, comparison, mcnemar = effect.result, effect.comparison, effect.mcnemar
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "key": result.key,
        "group": result.variant.group,
        "model": result.variant.model,
        "trick": result.variant.trick,
        "n": effect.pairs,
        "flaw": effect.flaw,
        "original_accuracy": result.original.get("test_accuracy"),
        "original_difference": effect.original,
        "claim": effect.claim,
        "verdict": effect.verdict,
        "seeds_to_resolve": effect.seeds_to_resolve,
    }
    if values := result.values("test_accuracy"):
        row |= {"test_accuracy": fmean(values), "test_accuracy_std": summarise(values).std}
    if values := study.baseline(result).values("test_accuracy"):
        row["baseline_accuracy"] = fmean(values)
    if comparison is not None:
        row["difference"] = comparison.summary.mean
        if interval := comparison.summary.interval:
            row |= {"difference_low": interval.low, "difference_high": interval.high}
        if effect.adjusted_p is not None:
            row |= {"p_value": comparison.p_value, "p_holm": effect.adjusted_p}
    if mcnemar is not None:
        row["mcnemar_only_ours"] = mcnemar.only_ours
        row["mcnemar_only_baseline"] = mcnemar.only_theirs
        row["mcnemar_p"] = mcnemar.p_value
    return row


def to_csv(table: pd.DataFrame) -> str:
    """The table with all digits of its numbers."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def to_latex(table: pd.DataFrame, params: Params) -> str:
    """The comparisons of the tricks as a LaTeX table, for booktabs: in points of a percent."""
    of_cifar10 = is_cifar10(params)
    shown = table[table["group"] == "tricks"]
    rows = {}
    by_model = [shown[shown["model"] == model].to_dict("records") for model in params.models]
    for row in [row for rows in by_model for row in rows]:
        cells = comparison_cells(row, POINTS)
        rows[row["model"], row["trick"]] = {
            "accuracy": _math(cells.accuracy) or cells.flaw * (not of_cifar10),
            "difference": _math(cells.difference),
            "95\\% interval": _math(cells.interval),
            "$p$ (Holm)": cells.p.replace("<", "$<$"),
        }
        if of_cifar10:
            rows[row["model"], row["trick"]] |= {
                "original": _math(cells.original_difference),
                "verdict": cells.verdict or cells.flaw,
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples([*rows], names=["net", "trick"])
    pairs = sorted({int(n) for n in shown["n"] if n})
    seeds = " to ".join(dict.fromkeys(str(n) for n in (*pairs[:1], *pairs[-1:]))) or "0"
    styler = frame.style.format_index(escape="latex").format(escape=None)
    title = in_latex(dataset(params).title)
    theirs = ", and the original report's single runs" if of_cifar10 else ""
    text: str = styler.to_latex(
        hrules=True,
        clines="skip-last;data",
        column_format="llrrrrrl" if of_cifar10 else "llrrrr",
        caption=(
            f"Test accuracy on {title} in percent, and its difference from the baseline of the "
            f"same net in points: means over n = {seeds} paired "
            f"{'seed' if seeds == '1' else 'seeds'}{theirs}."
        ),
        label="tab:tricks",
    )
    return text


def _math(text: str) -> str:
    return f"${text}$" if text else ""
