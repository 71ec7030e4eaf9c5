"""All figures of the report. Only the modules named ``*figure*`` use matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cifar_tricks.class_figures import draw_classes, draw_confusion
from cifar_tricks.curve_figures import draw_augmentation, draw_curves
from cifar_tricks.dot_figures import draw_improve, draw_overview
from cifar_tricks.figure_style import save_figure
from cifar_tricks.predictions import predicted_classes
from cifar_tricks.results import Study


def write_figures(study: Study, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes every figure that there are results for.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>/figures``.
    """
    for name, (height, draw) in plan_figures(study, predictions).items():
        save_figure(folder / f"{name}.png", height, draw)


def plan_figures(
    study: Study, predictions: pd.DataFrame
) -> dict[str, tuple[float, Callable[[Figure], None]]]:
    """Height in inches and drawing function of every figure, by the name of its file."""
    models, tricks, steps = study.params.models, study.params.tricks, study.group("improve")
    plan: dict[str, tuple[float, Callable[[Figure], None]]] = {
        f"curves-{result.key}": (3.5, partial(draw_curves, study=study, result=result))
        for result in study.results.values()
    }
    plan["augmentation"] = (1.1 + 2.6 * len(models), partial(draw_augmentation, study=study))
    plan["overview"] = (1.5 + 0.34 * len(tricks), partial(draw_overview, study=study))
    if steps:
        plan["improve"] = (1.7 + 0.36 * len(steps), partial(draw_improve, study=study))
    if (best := study.best) is not None:
        of_best: dict[str, Any] = {"study": study, "result": best}
        plan["best"] = (3.5, partial(draw_curves, **of_best))
        if len(predicted_classes(predictions, best)):
            of_best["predictions"] = predictions
            plan[f"confusion-{best.key}"] = (6.4, partial(draw_confusion, **of_best))
            plan["per_class"] = (4.4, partial(draw_classes, **of_best))
    return plan
