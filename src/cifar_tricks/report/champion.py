"""The study's best net as a model to use: its weights, what it is, and a card.

It is chosen by validation accuracy; the test images only measure it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cifar_tricks.base.arrays import read_arrays, write_arrays
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.evaluation import CARD, DESCRIPTION, WEIGHTS
from cifar_tricks.evidence.answers import wilson
from cifar_tricks.evidence.predictions import class_accuracies
from cifar_tricks.evidence.statistics import summarise
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.parameters.protocol import is_cifar10, is_small, protocol
from cifar_tricks.report.markdown import render
from cifar_tricks.runs.folders import seed_folder, seeds_with_weights
from cifar_tricks.runs.run import Run


def write_champion(study: StudyResults, predictions: pd.DataFrame, folder: Path) -> None:
    """Writes ``model.safetensors``, ``model.json`` and ``card.md``.

    Where nothing has a result, or none of the best net's weights are here, they say so: empty
    weights and no key. A description of the same weights that is there already is kept.

    Args:
        study: all results.
        predictions: of the test images.
        folder: ``reports/<scale>/champion``.

    Raises:
        UserError: the weights are missing or damaged.
    """
    best, elsewhere = study.best, None
    if best is not None and best.run is not None and not seeds_with_weights(best.run):
        if about := _described(folder, best.run):
            about |= {"test_accuracy": best.scores["test_accuracy"][about["seed"]]}
        else:
            elsewhere, best, about = best.key, None, {"key": None}
            write_arrays(folder / WEIGHTS, {})
    else:
        names = study.dataset.class_names
        weights, about = _choose(best, names) if best is not None else ({}, {"key": None})
        write_arrays(folder / WEIGHTS, weights)
    write_atomically(folder / DESCRIPTION, to_json(about))
    context = {
        "about": about,
        "best": best,
        "elsewhere": elsewhere,
        "params": study.params,
        "dataset": study.dataset,
        "of_cifar10": is_cifar10(study.params),
        "is_small": is_small(study.params),
        "protocol": protocol(study.params),
    }
    if best is not None:
        context |= _facts(best, about, predictions)
    write_atomically(folder / CARD, render("card.md.j2", context).encode())


def _described(folder: Path, run: Run) -> dict[str, Any]:
    """The description in the folder where it is of one of the run's seeds; empty where not."""
    try:
        about: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
        same = run.seeds[about["seed"]].weights_sha256 == about["weights_sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return about if same and about.get("key") == run.key else {}


def _choose(best: Result, classes: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and description of the variant's seed with the highest validation accuracy, of those
    whose weights are here."""
    run = best.run
    assert run is not None
    seeds = seeds_with_weights(run)
    seed = max(seeds, key=lambda seed: run.seeds[seed].validation_accuracy or 0.0)
    result = run.seeds[seed]
    path = seed_folder(run.scale, run.key, seed) / "model.safetensors"
    arrays = read_arrays(path)
    about = {
        "key": run.key,
        "seed": seed,
        "scale": run.scale,
        "tricks": list(run.tricks),
        "classes": list(classes),
        "mean": result.mean,
        "std": result.std,
        "test_accuracy": best.scores["test_accuracy"][seed],
        "validation_accuracy": result.validation_accuracy,
        "precision": run.recipe["precision"],
        "num_parameters": run.num_parameters,
        "weights_sha256": arrays.sha256,
        "data": run.data,
        "code": result.origin.code,
        "torch": result.origin.torch,
        "net": run.recipe["net"],
    }
    return {**arrays.arrays}, about


def _facts(best: Result, about: dict[str, Any], predictions: pd.DataFrame) -> dict[str, Any]:
    accuracy, images = about["test_accuracy"], len(predictions)
    classes = class_accuracies(predictions, best, about["classes"])
    return {
        "summary": summarise(best.values("test_accuracy")),
        "noise": wilson(round(accuracy * images), images),
        "images": images,
        "error": best.mean("ece"),
        "worst": min(classes.items(), key=lambda item: item[1], default=None),
        "finest": max(classes.items(), key=lambda item: item[1], default=None),
    }
