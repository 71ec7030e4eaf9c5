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

from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.evaluation.original import original_notes
from cifar_tricks.evidence.budget import budget_csv
from cifar_tricks.evidence.cells import describe
from cifar_tricks.evidence.comparisons import comparison_table, to_csv, to_latex
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.ingredients.cells import ingredients_csv
from cifar_tricks.evidence.study_results import MISSING, Result, StudyResults
from cifar_tricks.parameters.protocol import follows_original, is_small, protocol
from cifar_tricks.report import comparisons, exercises, ingredients, ladder, tables
from cifar_tricks.report.data import data_context
from cifar_tricks.report.markdown import Markdown, code, escape, image, render
from cifar_tricks.report.page.write import write_page
from cifar_tricks.training.backbones import BACKBONES

MANIFEST = Path("data/manifest.json")
# Where the stage `visualize` has noted nothing.
NO_PICTURES: dict[str, Any] = {
    **dict.fromkeys(("backbone", "photo", "photo_class", "photo_probability", "explained")),
    "own_nets": [],
}
TABLES = (
    comparisons.tricks_table,
    comparisons.sensitivity_table,
    comparisons.factorial_table,
    comparisons.sampling_table,
    ladder.ladder,
    ladder.ladder_table,
    ladder.missing_rungs,
    ingredients.changed_table,
    ingredients.alone_table,
    ingredients.training_size,
    tables.reference_table,
    tables.transfer_table,
    tables.stack_table,
    tables.class_table,
    tables.details_table,
    tables.facts_table,
    tables.costs_table,
    exercises.answers_table,
    exercises.shift_table,
    exercises.shift_figure,
    exercises.net_table,
    exercises.net_totals,
)
IDENTITY = ("key", "group", "model", "trick", "seed", "status")
RESULT_SCORES = ("test_accuracy", "test_loss", "validation_accuracy", "train_accuracy")


def write_report(study: StudyResults, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes ``index.html``, ``report.md``, ``summary.json``, ``results.csv`` (a row per run),
    ``budget.csv`` (the effects along the training), ``comparisons.csv`` (a row per comparison with
    a baseline), ``comparisons.tex`` and ``ingredients.csv`` (a row per ingredient of a recipe);
    where another scale stands beside, ``beside.csv``.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>``; the figures that lie in it are shown.
    """
    evidence = Evidence(study=study, predictions=predictions)
    table = comparison_table(study, (evidence.tricks, evidence.sensitivity))
    write_atomically(folder / "budget.csv", budget_csv(evidence.budgets).encode())
    write_atomically(folder / "comparisons.csv", to_csv(table).encode())
    write_atomically(folder / "comparisons.tex", to_latex(table, study.params).encode())
    write_atomically(folder / "ingredients.csv", ingredients_csv(evidence.ingredients).encode())
    write_atomically(folder / "summary.json", to_json(summary(study)))
    write_atomically(folder / "results.csv", _results(study).encode())
    # Behind these tables, which a comparison with another scale reads.
    context = _context(evidence, folder)
    if beside := context["beside"]:
        write_atomically(folder / "beside.csv", beside.csv.encode())
    section = partial(render, context=context)
    write_atomically(folder / "report.md", section("report.md.j2").encode())
    write_page(evidence, folder, section)


def summary(study: StudyResults) -> dict[str, int | float]:
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
        "follows_original": follows_original(study.params),
        "protocol": protocol(study.params),
        "goal": study.goal,
        **data_context(study),
        "notes": original_notes(),
        "assets": _assets(),
        "backbones": BACKBONES,
        "pictures": _activation_facts(folder),
        "exercises": exercises.read_exercises(folder),
        "figure": partial(_figure, folder),
        "describe": describe,
        **{function.__name__: function for function in TABLES},
    }


def _activation_facts(folder: Path) -> dict[str, Any]:
    """What the stage ``visualize`` noted about its activation pictures."""
    try:
        return dict(json.loads((folder / "activations.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return dict(NO_PICTURES)


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


def _results(study: StudyResults) -> str:
    """A row per variant and seed; empty cells where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*IDENTITY, *RESULT_SCORES, "difference"])
    for result in study.results.values():
        for seed in result.seeds:
            writer.writerow([*_result_row(result, seed), study.difference(result, seed)])
    return text.getvalue()


def _result_row(result: Result, seed: int) -> list[object]:
    variant, status = result.variant, result.status(seed)
    scores = [result.scores.get(name, {}).get(seed) for name in RESULT_SCORES]
    scores = scores if status != MISSING else [None] * len(scores)
    return [result.key, variant.group, variant.model, variant.trick, seed, status, *scores]
