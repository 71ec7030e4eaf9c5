"""The page ``index.html``: everything in one file that opens by double-click.

Like the report it depends on data alone, so that a rerun gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cifar_tricks.base.files import write_atomically
from cifar_tricks.charts import results as result_charts
from cifar_tricks.charts.budget import budget_charts, net_colours
from cifar_tricks.charts.curves import curve_points, curves_chart
from cifar_tricks.charts.html import embed, environment, html_table, shared_files
from cifar_tricks.charts.vega_lite import (
    CONFIG,
    Spec,
    reliability_chart,
    trick_colours,
)
from cifar_tricks.evaluation.original import original_notes
from cifar_tricks.evidence.curves import read_curves
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.ingredients.cells import alone_rows, changed_rows
from cifar_tricks.evidence.study_results import StudyResults
from cifar_tricks.parameters.protocol import follows_original, is_small, protocol
from cifar_tricks.report.data import data_context
from cifar_tricks.report.ingredients import training_size
from cifar_tricks.report.ladder import ladder, missing_rungs
from cifar_tricks.report.page import classes, comparisons, steps
from cifar_tricks.report.page.html import PAGE_TEMPLATES, data_uri, prose
from cifar_tricks.report.speed import read_bench, speed_chart, speed_table

# Single seeds are drawn beside their mean up to this many.
MOST_SEEDS = 3


def write_page(evidence: Evidence, folder: Path, section: Callable[[str], str]) -> None:
    """Writes ``index.html``.

    Args:
        evidence: of the study.
        folder: ``reports/<scale>``; pictures that lie in it become part of the page.
        section: gives a section that the page shares with the report, as Markdown, by the name of
            its template.

    Raises:
        UserError: a file that the stages before wrote is missing or damaged.
    """
    study, fallback = evidence.study, folder / "figures/overview.png"
    page = (
        environment(PAGE_TEMPLATES)
        .get_template("index.html.j2")
        .render(
            evidence=evidence,
            study=study,
            params=study.params,
            scale=study.params.scales[study.params.scale],
            is_small=is_small(study.params),
            follows_original=follows_original(study.params),
            protocol=protocol(study.params),
            goal=study.goal,
            **data_context(study),
            notes=original_notes(),
            answer=comparisons.answer(evidence),
            charts=_charts(evidence, folder),
            config=CONFIG,
            bench=read_bench(),
            curves=_curves(study),
            nets=net_colours(study.params.models),
            fallback=data_uri(fallback) if fallback.is_file() else "",
            values=_params_text(study),
            **_tables(evidence),
            data=embed,
            link=comparisons.link,
            training_size=training_size,
            ladder=ladder(evidence),
            missing_rungs=missing_rungs(evidence),
            table=html_table,
            factorial_rows=comparisons.factorial_rows,
            prose=lambda template: prose(section(template), folder),
            script=Markup((PAGE_TEMPLATES / "page.js").read_text()),
            **shared_files(),
        )
    )
    write_atomically(folder / "index.html", page.encode())


def _tables(evidence: Evidence) -> dict[str, list[comparisons.TableRow]]:
    tricks, bench, found = evidence.study.group("tricks"), read_bench(), evidence.ingredients
    return {
        "overview": comparisons.overview_rows(evidence),
        "sampled_rows": classes.sampling_rows(evidence),
        "curve_rows": steps.curve_rows(tricks),
        "ladder_rows": steps.ladder_rows(evidence),
        "stack_rows": steps.stack_rows(evidence.study),
        "changed_rows": [{**row} for row in changed_rows(found)] if found else [],
        "alone_rows": [{**row} for row in alone_rows(found)] if found else [],
        "sensitivity_rows": comparisons.sensitivity_rows(evidence),
        "confusion_rows": classes.confusion_rows(evidence),
        "class_rows": classes.class_rows(evidence),
        "speed_rows": [{**row} for row in speed_table(bench)] if bench else [],
    }


def _curves(study: StudyResults) -> dict[str, Any]:
    """The points of all tricks' curves, the net that is shown first, and the colours.

    The horizontal axis counts steps in epochs of the plain training split: with copies an epoch has
    twice as many steps, and by epochs it would seem to learn faster just for training longer.
    """
    points = []
    for result in study.group("tricks"):
        recipe = result.variant.recipe
        unit = recipe.train_images // recipe.batch_size
        points += curve_points(result, read_curves(result), unit=unit, most_seeds=MOST_SEEDS)
    return {
        "points": points,
        # A net that has curves.
        "net": next((point["net"] for point in points), next(iter(study.params.models))),
        "colours": trick_colours(study.params.tricks),
    }


def _charts(evidence: Evidence, folder: Path) -> dict[str, Spec]:
    study = evidence.study
    effects = result_charts.effect_charts(evidence)
    charts: dict[str, Spec | None] = {f"effects-{model}": chart for model, chart in effects.items()}
    nets = net_colours(study.params.models)
    charts |= {f"budget-{k}": v for k, v in budget_charts(evidence.budgets, nets).items()}
    if found := evidence.ingredients:
        charts |= {f"ingredients-{k}": v for k, v in result_charts.ingredient_charts(found).items()}
    charts["curves"] = curves_chart(trick_colours(study.params.tricks))
    charts["ladder"] = result_charts.ladder_chart(evidence)
    for factorial in evidence.factorials:
        charts[f"factorial-{factorial.model}"] = result_charts.factorial_chart(factorial)
    charts["sensitivity"] = result_charts.sensitivity_chart(study, evidence.sensitivity)
    if best := evidence.predicted_best:
        charts["confusion"] = result_charts.confusion_chart(evidence, best)
        title = f"Accuracy against confidence of {best.key}; on the diagonal both are equal"
        bins = classes.reliability(folder, best)
        charts["reliability"] = reliability_chart(bins, title=title)
    bench = read_bench()
    charts["speed"] = speed_chart(bench) if bench else None
    return {name: chart for name, chart in charts.items() if chart is not None}


def _params_text(study: StudyResults) -> str:
    """The parameters that made the page, as JSON."""
    shown = study.params.model_dump(mode="json")
    size = study.params.scales[study.params.scale].model_dump(mode="json", exclude_none=True)
    shown["scales"] = {study.params.scale: size}
    return json.dumps(shown, indent=2)
