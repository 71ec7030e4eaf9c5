"""The report: ``index.html`` and ``report.md`` for people, ``summary.json`` for DVC, CSV and LaTeX
for papers.

Nothing here depends on the clock, the checkout or the order of a folder, so that a rerun gives the
same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from cifar_tricks import evidence_tables, exercise_tables, report_tables
from cifar_tricks.backbones import BACKBONES
from cifar_tricks.cells import describe
from cifar_tricks.comparisons import comparison_table, to_csv, to_latex
from cifar_tricks.evidence import Evidence
from cifar_tricks.files import write_atomically
from cifar_tricks.markdown import Markdown, code, escape, image, render
from cifar_tricks.original import original_notes
from cifar_tricks.page import write_page
from cifar_tricks.results import GOAL, MISSING, Result, Study, is_small
from cifar_tricks.runs import to_json
from cifar_tricks.views import Views

MANIFEST = Path("data/manifest.json")
TABLES = (
    evidence_tables.tricks_table,
    evidence_tables.sensitivity_table,
    evidence_tables.factorial_table,
    evidence_tables.sampling_table,
    report_tables.reference_table,
    report_tables.transfer_table,
    report_tables.stack_table,
    report_tables.class_table,
    report_tables.details_table,
    report_tables.facts_table,
    report_tables.costs_table,
    exercise_tables.answers_table,
    exercise_tables.shift_table,
    exercise_tables.shift_figure,
    exercise_tables.net_table,
    exercise_tables.net_totals,
)
IDENTITY = ("key", "group", "model", "trick", "seed", "status")
SCORES = ("test_accuracy", "test_loss", "validation_accuracy", "train_accuracy")


def write_report(study: Study, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes ``index.html``, ``report.md``, ``summary.json``, ``results.csv`` (a row per run),
    ``comparisons.csv`` (a row per comparison with a baseline) and ``comparisons.tex``.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>``; the figures that lie in it are shown.
    """
    evidence = Evidence(study=study, predictions=predictions)
    section = partial(render, context=_context(evidence, folder))
    write_atomically(folder / "report.md", section("report.md.j2").encode())
    write_page(evidence, folder, section)
    table = comparison_table(study, (evidence.tricks, evidence.sensitivity))
    write_atomically(folder / "comparisons.csv", to_csv(table).encode())
    write_atomically(folder / "comparisons.tex", to_latex(table, [*study.params.models]).encode())
    write_atomically(folder / "summary.json", to_json(summary(study)))
    write_atomically(folder / "results.csv", _results(study).encode())


def summary(study: Study) -> dict[str, int | float]:
    """The few numbers for ``dvc metrics show``: test accuracies, means over seeds; what has no
    result is left out."""
    best = study.best
    shown = {"reference": study.results["reference-baseline"]}
    for model in study.params.models:
        shown[f"baseline_{model}"] = study.results[f"{model}-baseline"]
    if best is not None and best.variant.group == "improve":
        shown["improve_best"] = best
    shown["transfer"] = study.group("transfer")[0]
    means = {name: result.mean("test_accuracy") for name, result in shown.items()}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return {"seeds": study.most_seeds, **known}


def _context(evidence: Evidence, folder: Path) -> dict[str, Any]:
    """What the sections of the report say their text with."""
    study = evidence.study
    return {
        "evidence": evidence,
        "study": study,
        "params": study.params,
        "scale": study.params.scales[study.params.scale],
        "is_small": is_small(study.params),
        "goal": GOAL,
        "notes": original_notes(),
        "assets": _assets(),
        "backbones": BACKBONES,
        "pictures": _activation_facts(folder),
        "exercises": exercise_tables.read_exercises(folder),
        "figure": partial(_figure, folder),
        "describe": describe,
        **{function.__name__: function for function in TABLES},
    }


def _activation_facts(folder: Path) -> dict[str, Any]:
    """What the stage ``visualize`` noted about its activation pictures."""
    try:
        return dict(json.loads((folder / "activations.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return Views().facts()


def _figure(folder: Path, name: str, alt: str) -> Markdown:
    """The figure, or a line that there is none."""
    path = f"figures/{name}.png"
    if not (folder / path).exists():
        return Markdown(f"*There is no figure {code(name)}: nothing to draw yet.*")
    return image(path, alt)


def _assets() -> list[Markdown]:
    """Where the data came from and what it is: a line per entry of the manifest."""
    try:
        manifest = json.loads(MANIFEST.read_bytes())
        sections = [manifest.get("assets", {}), manifest.get("files", {})]
        entries = [item for section in sections for item in section.items()]
        return [_entry(name, fields) for name, fields in entries]
    except (OSError, ValueError, AttributeError):
        return []


def _entry(name: str, fields: dict[str, object]) -> Markdown:
    parts = [f"{escape(field.replace('_', ' '))} {code(value)}" for field, value in fields.items()]
    return Markdown(f"{code(name)}: {', '.join(parts)}")


def _results(study: Study) -> str:
    """A row per variant and seed; empty cells where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*IDENTITY, *SCORES, "difference"])
    for result in study.results.values():
        for seed in result.seeds:
            writer.writerow([*_result_row(result, seed), study.difference(result, seed)])
    return text.getvalue()


def _result_row(result: Result, seed: int) -> list[object]:
    variant, status = result.variant, result.status(seed)
    scores = [result.scores.get(name, {}).get(seed) for name in SCORES]
    scores = scores if status != MISSING else [None] * len(scores)
    return [result.key, variant.group, variant.model, variant.trick, seed, status, *scores]
