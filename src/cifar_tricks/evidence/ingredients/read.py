"""What each ingredient of a recipe is worth, left out of it and alone: from records alone.

No stage trains these variants (parameters/ablation.py); ``make share`` puts them on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US, differences
from cifar_tricks.evaluation.score import Score, from_answers
from cifar_tricks.evidence.effects import Family, judge
from cifar_tricks.evidence.study_results import IN_VIEWS, Result, StudyResults
from cifar_tricks.parameters.ablation import GROUP
from cifar_tricks.parameters.variants import Variant, planned_variants
from cifar_tricks.runs.folders import record_file
from cifar_tricks.training.call import as_json

if TYPE_CHECKING:
    from cifar_tricks.runs.records import Record

WITHOUT = "without_"
VIEWS = "test_time_augmentation"


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """The comparisons that are on record, a family of them for each thing to compare with.

    Args:
        study: the results of these variants, and of what they are compared with.
        whole: of the recipe.
        changed: the recipe without an ingredient, or with another in its place, against it.
        alone: single tricks against the baseline of a net, by the net; only those with records.
        refused: how many records are of another recipe, data or engine, and left aside.
    """

    study: StudyResults
    whole: Result
    changed: Family
    alone: Mapping[str, Family]
    refused: int

    @property
    def families(self) -> dict[str, Family]:
        """All of them, by key of the recipe or name of the net."""
        return {self.whole.key: self.changed, **self.alone}

    @property
    def results(self) -> list[Result]:
        """Of all variants in families that have any."""
        return [one.result for family in self.families.values() for one in family.effects]

    @property
    def untrained(self) -> list[str]:
        """Keys of those without a record."""
        return [result.key for result in self.results if result.run is None]


def read_ingredients(study: StudyResults, predictions: pd.DataFrame) -> Ingredients | None:
    """What is on record of ``ablation`` at the study's scale; None for nothing.

    Args:
        study: all other results.
        predictions: of the test images.

    Raises:
        UserError: a record is damaged, or contradicts the test images.
    """
    params = study.params
    if params.ablation is None or params.records != "use":
        return None
    planned = planned_variants(params, ablation=True).values()
    labels, found, refused = predictions["label"].to_numpy(), dict[str, Result](), 0
    for variant in planned:
        if variant.group == GROUP:
            found[variant.key], others = _read(study, variant, labels)
            refused += others
    if not any(result.run for result in found.values()):
        return None
    whole = study.results[f"improve-{params.ablation.recipe}"]
    scoring = _scored_otherwise(whole)
    wider = replace(study, results={**study.results, **scoring, **found})
    changed = [one for one in scoring.values() if one.variant.group == GROUP]
    changed += [one for one in found.values() if one.variant.against]
    alone = {
        model: [
            one for one in found.values() if not one.variant.against and one.variant.model == model
        ]
        for model in params.ablation.alone.models
    }
    return Ingredients(
        study=wider,
        whole=whole,
        changed=judge(wider, changed, predictions),
        alone={
            model: judge(wider, results, predictions)
            for model, results in alone.items()
            if any(one.run for one in results)
        },
        refused=refused,
    )


def _scored_otherwise(whole: Result) -> dict[str, Result]:
    """What views in scoring give: the plain accuracy of the recipe's nets against that in views."""
    if not whole.values(IN_VIEWS):
        return {}
    views = replace(whole.variant, key=f"{whole.key} in views")
    name = f"{WITHOUT}{VIEWS}"
    plain = replace(views, key=f"{GROUP}-{name}", group=GROUP, trick=name, against=views.key)
    accuracies = [(views, whole.scores[IN_VIEWS]), (plain, whole.scores["test_accuracy"])]
    return {
        variant.key: replace(whole, variant=variant, scores={"test_accuracy": values})
        for variant, values in accuracies
    }


def _read(study: StudyResults, variant: Variant, labels: np.ndarray) -> tuple[Result, int]:
    """What is on record of a variant, and how many records of it are of another training."""
    params = study.params
    paths = [record_file(params.scale, variant.key, seed) for seed in params.seeds]
    known = [path for path in paths if path.is_file()]
    found = [record for path in known if (record := _record(study, variant, path, len(labels)))]
    refused = len(known) - len(found)
    if not found:
        return Result(variant=variant, seeds=params.seeds, run=None, scores={}), refused
    scores = [_score(variant, record, labels) for record in found]
    seeds = {seed: result for record in found for seed, result in record.run.seeds.items()}
    named: dict[str, dict[int, float | None]] = {
        "test_accuracy": {score.seed: score.accuracy for score in scores},
        IN_VIEWS: {score.seed: score.augmented_accuracy for score in scores},
    }
    run = replace(found[0].run, seeds=seeds)
    return Result(variant=variant, seeds=tuple(seeds), run=run, scores=named), refused


def _record(study: StudyResults, variant: Variant, path: Path, test_images: int) -> Record | None:
    """The record, where it is of what params.yaml plans, on the data of all other results."""
    # Only here: they import PyTorch, which a study without such records does without.
    from cifar_tricks.runs.records import read_record
    from cifar_tricks.training.loop import ENGINE

    record = read_record(path)
    origin, run = record.result.origin, record.run
    data = next((one.run.data for one in study.results.values() if one.run), run.data)
    device = study.params.scales[study.params.scale].device or origin.device
    found = (run.recipe, run.data["train"], origin.engine, origin.device)
    wanted = (as_json(variant.recipe), data["train"], ENGINE, device)
    differing = differences([*found, record.answers.get("images")], [*wanted, test_images])
    return None if differing else record


def _score(variant: Variant, record: Record, labels: np.ndarray) -> Score:
    try:
        return from_answers(
            record.answers,
            key=variant.key,
            seed=record.seed,
            labels=labels,
            num_classes=variant.recipe.net.num_classes,
        )
    except NOT_WRITTEN_BY_US as error:
        path = record_file(record.run.scale, variant.key, record.seed)
        raise UserError(f"{path} contradicts the test images: {error}") from error
