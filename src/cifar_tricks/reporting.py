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
from cifar_tricks.analysis import Family, sensitivity_family, tricks_family
from cifar_tricks.backbones import BACKBONES
from cifar_tricks.comparisons import comparison_table, to_csv, to_latex
from cifar_tricks.early_stopping import stopping
from cifar_tricks.files import write_atomically
from cifar_tricks.interactions import factorials
from cifar_tricks.markdown import Markdown, code, escape, image, render, table
from cifar_tricks.original import original_notes
from cifar_tricks.page import write_page
from cifar_tricks.predictions import predicted_classes
from cifar_tricks.provenance import provenance
from cifar_tricks.results import GOAL, MISSING, Result, Study, is_small
from cifar_tricks.runs import to_json
from cifar_tricks.sampling import near_duplicates, optimism
from cifar_tricks.views import Views

MANIFEST = Path("data/manifest.json")
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
    families = tricks_family(study, predictions), sensitivity_family(study, predictions)
    context = _context(study, predictions, folder, families)
    write_atomically(folder / "report.md", render("report.md.j2", context).encode())
    write_page(study, predictions, folder, context)
    table = comparison_table(study, families)
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


def _context(
    study: Study, predictions: pd.DataFrame, folder: Path, families: tuple[Family, Family]
) -> dict[str, Any]:
    params, best = study.params, study.best
    scale = params.scales[params.scale]
    (transfer,) = study.group("transfer")
    return {
        "study": study,
        "params": params,
        "scale": scale,
        "best": best,
        "has_classes": best is not None and len(predicted_classes(predictions, best)) > 0,
        "predictions": predictions,
        "tables": report_tables,
        "is_small": is_small(params),
        "facts": _facts(study, len(predictions)),
        "test_images": f"{len(predictions):,}",
        "family": families[0],
        "sensitivity": families[1],
        "factorials": factorials(study),
        "evidence": evidence_tables,
        "sampled": _sampled(study),
        "optimism": optimism(study, predictions),
        "stopping": stopping(study),
        "near_duplicates": int(predictions.index.isin(near_duplicates()).sum()),
        "flawed": [result for result in study.results.values() if result.flaw],
        "reached": [r for r in study.group("improve") if (r.mean("test_accuracy") or 0) >= GOAL],
        "climbed": any(result.values("test_accuracy") for result in study.group("improve")),
        "goal": GOAL,
        "seeds_text": _seeds_text(study),
        **provenance(study),
        "assets": _assets(),
        "notes": original_notes(),
        "transfer": transfer,
        "backbones": BACKBONES,
        "exercises": exercise_tables.read_exercises(folder),
        "exercise_tables": exercise_tables,
        **_activation_facts(folder),
        "figure": partial(_figure, folder),
    }


def _sampled(study: Study) -> list[Result]:
    """The variants whose dependence on the test images is shown: baselines, best, transfer."""
    keys = ["reference-baseline", *(f"{model}-baseline" for model in study.params.models)]
    results = [study.results[key] for key in keys]
    if study.best and study.best.key not in keys:
        results.append(study.best)
    return [*results, *study.group("transfer")]


def _activation_facts(folder: Path) -> dict[str, Any]:
    """What the stage ``visualize`` noted about its activation pictures."""
    try:
        return dict(json.loads((folder / "activations.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return Views().facts()


def _facts(study: Study, test_images: int) -> Markdown:
    scale = study.params.scales[study.params.scale]
    facts = {
        "seeds": _seeds_text(study),
        "training images": f"{scale.train_images:,}",
        "validation images": f"{scale.validation_images:,}",
        "test images": f"{test_images:,}",
        "epochs": f"at most {scale.num_epochs}",
        "precision": scale.precision,
        "device": ", ".join(provenance(study)["devices"]),
        "threads": scale.threads,
    }
    return table(list(facts), [list(facts.values())])


def _seeds_text(study: Study) -> str:
    """How many seeds, and which."""
    planned, counts = study.params.seeds, study.seed_counts
    listed = ", ".join(map(str, planned))
    if not counts or counts == [len(planned)]:
        return f"n = {len(planned)} ({listed})"
    found = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    return f"n = {found} of {len(planned)} planned ({listed})"


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
