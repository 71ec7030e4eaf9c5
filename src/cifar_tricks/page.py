"""The page ``index.html``: everything in one file that opens by double-click.

Like the report it depends on data alone, so that a rerun gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cifar_tricks import page_charts, page_classes, page_evidence, page_results
from cifar_tricks.analysis import Family
from cifar_tricks.evidence_tables import setting
from cifar_tricks.files import write_atomically
from cifar_tricks.interval_charts import Row, common_domain, interval_chart
from cifar_tricks.markdown import TEMPLATES
from cifar_tricks.page_charts import Spec
from cifar_tricks.page_prose import data_uri, prose
from cifar_tricks.page_tables import html_table
from cifar_tricks.results import GOAL, Result, Study
from cifar_tricks.sampling import score_images
from cifar_tricks.speed import read_bench, speed_chart, speed_table

FOLDER = TEMPLATES / "page"
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write_page(
    study: Study, predictions: pd.DataFrame, folder: Path, context: dict[str, Any]
) -> None:
    """Writes ``index.html``.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>``; pictures that lie in it become part of the page.
        context: of the report, which the page shares its facts and some sections with.

    Raises:
        UserError: a file that the stages before wrote is missing or damaged.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(
        table=html_table,
        data=embed,
        link=page_evidence.link,
        factorial_rows=page_evidence.factorial_table_rows,
    )
    page = environment.get_template("index.html.j2").render(
        **context,
        **_parts(study, predictions, folder, context),
        prose=lambda template: prose(template, context, folder),
        style=Markup((FOLDER / "style.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
        vega=_vega(),
    )
    write_atomically(folder / "index.html", page.encode())


def embed(value: object) -> Markup:
    """The value as JSON that may stand in a script element, whatever its strings hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return Markup("".join(ESCAPES.get(character, character) for character in text))


def _vega() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for a snippet
    return Markup(bundle.replace("</script", "<\\/script"))


def _parts(
    study: Study, predictions: pd.DataFrame, folder: Path, context: dict[str, Any]
) -> dict[str, Any]:
    family: Family = context["family"]
    results = page_results
    tricks = study.group("tricks")
    best = study.best if context["has_classes"] else None
    cells = page_classes.confusion(predictions, best) if best else []
    compared = study.best_and_baseline if best else []
    points = results.curve_points(tricks)
    fallback = folder / "figures/overview.png"
    bench = read_bench()
    speed = {"speed": speed_chart(bench)} if bench else {}
    return {
        "answer": page_evidence.answer(study, family),
        "charts": _charts(study, family, context, folder) | speed,
        "bench": bench,
        "speed_rows": speed_table(bench) if bench else [],
        "overview": page_evidence.overview_rows(study, family),
        "sampled_rows": page_classes.sampling_rows(predictions, context["sampled"]),
        "curves": {
            "points": points,
            # Shown first: a net that has curves.
            "net": next((point["net"] for point in points), next(iter(study.params.models))),
            "colours": page_charts.trick_colours(study.params.tricks),
        },
        "curve_rows": results.curve_rows(tricks),
        "ladder_rows": results.ladder_rows(study),
        "stack_rows": results.stack_rows(study),
        "sensitivity_rows": page_evidence.sensitivity_rows(study, context["sensitivity"]),
        "confusion_rows": page_classes.confusion_rows(cells),
        "class_rows": page_classes.class_rows(predictions, compared),
        "cards": [*study.results.values()],
        "score": lambda result: score_images(predictions, result),
        "fallback": data_uri(fallback) if fallback.is_file() else "",
        "values": _params_text(study),
    }


def _charts(study: Study, family: Family, context: dict[str, Any], folder: Path) -> dict[str, Spec]:
    by_model = {
        model: page_evidence.effect_rows(
            study, family.of(model), [e.result.variant.trick for e in family.of(model)]
        )
        for model in study.params.models
    }
    every = [row for rows in by_model.values() for row in rows]
    axis = "difference in test accuracy"
    colours = page_charts.trick_colours(study.params.tricks)
    charts = {"curves": page_charts.curves_chart(colours)} | {
        f"effects-{model}": interval_chart(
            rows,
            title=f"{model}: {axis} from the baseline, and the original report's. {_said(rows)}",
            axis=axis,
            domain=common_domain(every, include=(0.0,)),
        )
        for model, rows in by_model.items()
    }
    if steps := page_results.ladder(study):
        charts["ladder"] = interval_chart(
            steps,
            title=f"Test accuracy of each step; the goal is {GOAL:.2f}. {_said(steps)}",
            axis="test accuracy",
            domain=common_domain(steps, include=(GOAL,)),
            rule=GOAL,
            signed=False,
        )
    for factorial in context["factorials"]:
        rows = page_evidence.factorial_rows(factorial)
        if rows:
            charts[f"factorial-{factorial.model}"] = interval_chart(
                rows,
                title=f"{factorial.model}: main effects and interactions. {_said(rows)}",
                axis="effect on test accuracy",
                domain=common_domain(rows, include=(0.0,)),
            )
    effects = context["sensitivity"].effects
    if effects:
        labels = [f"{e.result.variant.model}: {setting(study, e.result)}" for e in effects]
        rows = page_evidence.effect_rows(study, effects, labels)
        charts["sensitivity"] = interval_chart(
            rows,
            title=f"Other settings: {axis} from the baseline. {_said(rows)}",
            axis=axis,
            domain=common_domain(rows, include=(0.0,)),
        )
    if context["has_classes"]:
        charts |= _class_charts(context["predictions"], context["best"], folder)
    return charts


def _class_charts(predictions: pd.DataFrame, best: Result, folder: Path) -> dict[str, Spec]:
    cells = page_classes.confusion(predictions, best)
    names = list(dict.fromkeys(cell["actual"] for cell in cells))
    return {
        "confusion": page_charts.heat_map(
            cells, names, title=f"Confusion matrix of {best.key}, in percent of each actual class"
        ),
        "reliability": page_charts.reliability_chart(
            page_classes.reliability(folder, best),
            title=f"Accuracy against confidence of {best.key}; on the diagonal both are equal",
        ),
    }


def _said(rows: list[Row]) -> str:
    """The values of a chart in words, for those who cannot see it."""
    return " ".join(
        f"{row.label}: {row.flaw or 'no value'}."
        if row.mean is None
        else f"{row.label}: {row.mean:.4f}."
        for row in rows
    )


def _params_text(study: Study) -> str:
    """The parameters that made the page, as JSON."""
    shown = study.params.model_dump(mode="json")
    shown["scales"] = {study.params.scale: shown["scales"][study.params.scale]}
    return json.dumps(shown, indent=2)
