"""The judgement as CSV and as LaTeX."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cifar_tricks.base.wording import in_latex, printable
from cifar_tricks.judge.judgement import Judged, Judgement
from cifar_tricks.judge.text import Question, count, notation_of, unit

# What a spreadsheet takes for the start of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(judgement: Judgement, within: str) -> str:
    """A row for each comparison, with all digits; names are no formulas."""
    table = pd.DataFrame([_row(row, within) for row in judgement.rows])
    table["to_resolve"] = table["to_resolve"].astype("Int64")
    return str(table.to_csv(index=False, lineterminator="\n"))


def _row(row: Judged, within: str) -> dict[str, Any]:
    found, base = row.difference, row.base.summary if row.base else None
    interval = found.interval if found else None
    return {
        **({_harmless(within): _harmless(row.block)} if within else {}),
        "variant": _harmless(row.variant),
        "n": len(row.differences) if row.paired else len(row.ours.values),
        "baseline_n": len(row.base.values) if row.base else 0,
        "paired": row.paired,
        "flaw": row.flaw,
        "mean": row.ours.summary.mean if row.ours.summary else None,
        "std": row.ours.summary.std if row.ours.summary else None,
        "baseline_mean": base.mean if base else None,
        "difference": found.mean if found else None,
        "difference_low": interval.low if interval else None,
        "difference_high": interval.high if interval else None,
        "p_value": row.p_value if row.adjusted_p is not None else None,
        "p_holm": row.adjusted_p,
        "verdict": row.verdict,
        "within_margin": row.little,
        "to_resolve": row.to_resolve,
    }


def _harmless(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would calculate it."""
    risky = text.startswith(FORMULA) and not _is_number(text)
    return f"'{printable(text)}" if risky else printable(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def to_latex(judgement: Judgement, question: Question, within: str) -> str:
    """A table for booktabs."""
    notation, total = notation_of(judgement), len(judgement.rows)
    header = [*([_plain(within)] if within else []), "variant", "n", "mean", "difference"]
    header += ["95\\% interval", "$p$ (Holm)", "verdict"]
    lines = [" & ".join(header) + " \\\\", "\\midrule"]
    for row in judgement.rows:
        ours, found = row.ours.summary, row.difference
        interval = found.interval if found else None
        bounds = [notation.signed(x) for x in (interval.low, interval.high)] if interval else []
        p = "" if row.adjusted_p is None else notation.p_value(row.adjusted_p)
        cells = [*([_plain(row.block)] if within else []), _plain(row.variant), count(row)]
        cells += [_math(notation.number(ours.mean) if ours else "")]
        cells += [_math(notation.signed(found.mean) if found else "")]
        cells += [_math(f"[{', '.join(bounds)}]" if bounds else ""), p.replace("<", "$<$")]
        lines.append(" & ".join([*cells, row.verdict or row.flaw]) + " \\\\")
    caption = f"Differences from {_plain(question.baseline)}, adjusted for {total} comparisons"
    caption += f", in multiples of {multiples}." if (multiples := unit(notation)) else "."
    columns = "l" * (2 if within else 1) + "rrrrrl"
    start = (
        f"\\begin{{table}}\n\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
    )
    end = "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    return start + "\n".join(lines) + end


def _plain(text: str) -> str:
    """The text with what LaTeX would read escaped; at the start of a row it would read these."""
    escaped = in_latex(text)
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped


def _math(text: str) -> str:
    return f"${text}$" if text else ""
