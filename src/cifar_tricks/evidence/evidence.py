"""What the study's results say, each thing computed once, for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cifar_tricks.evaluation.original import ORIGINAL_BEST
from cifar_tricks.evidence.budget import Budget, budgets
from cifar_tricks.evidence.early_stopping import EpochRegression, regress_on_epoch
from cifar_tricks.evidence.effects import Family, sensitivity_family, tricks_family
from cifar_tricks.evidence.factorials import Factorial, factorials
from cifar_tricks.evidence.ingredients.read import Ingredients, read_ingredients
from cifar_tricks.evidence.predictions import class_accuracies, predicted_classes
from cifar_tricks.evidence.provenance import Provenance, provenance
from cifar_tricks.evidence.sampling import (
    Optimism,
    SampledAccuracy,
    near_duplicates,
    optimism,
    score_images,
)
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.parameters.protocol import is_cifar10

# More would be legible neither as a table nor as a chart.
MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What report, page and figures show. Nothing is computed before it is asked for.

    Args:
        study: all results.
        predictions: of the test images.
    """

    study: StudyResults
    predictions: pd.DataFrame

    @cached_property
    def tricks(self) -> Family:
        """Every trick on every net against its baseline."""
        return tricks_family(self.study, self.predictions)

    @cached_property
    def sensitivity(self) -> Family:
        """The other settings of task 3a against the baselines."""
        return sensitivity_family(self.study, self.predictions)

    @cached_property
    def ingredients(self) -> Ingredients | None:
        """What each trick of a recipe is worth; None where nothing is on record of it."""
        return read_ingredients(self.study, self.predictions)

    @cached_property
    def factorials(self) -> list[Factorial]:
        """The experiments on tricks in combination."""
        return factorials(self.study)

    @cached_property
    def budgets(self) -> list[Budget]:
        """The effect of every trick on every net against the length of the training."""
        return budgets(self.study)

    @cached_property
    def epoch_regression(self) -> EpochRegression | None:
        """What early stopping has to do with the spread between seeds."""
        return regress_on_epoch(self.study)

    @cached_property
    def optimism(self) -> Optimism | None:
        """What choosing the best net on test images would promise too much."""
        return optimism(self.study, self.predictions)

    @cached_property
    def sampled(self) -> dict[str, SampledAccuracy | None]:
        """How far the test images decide, by variant: baselines, the best net, transfer; None for
        one with a flaw."""
        study = self.study
        keys = ["reference-baseline", *(f"{model}-baseline" for model in study.params.models)]
        keys += [study.best.key] if study.best else []
        keys += [result.key for result in study.group("transfer")]
        known = self._duplicates
        return {
            key: score_images(self.predictions, study.results[key], duplicates=known)
            for key in keys
        }

    @property
    def _duplicates(self) -> tuple[int, ...]:
        return near_duplicates() if is_cifar10(self.study.params) else ()

    @cached_property
    def near_duplicates(self) -> int:
        """How many test images have a near-duplicate among the training images."""
        return int(self.predictions.index.isin(self._duplicates).sum())

    @cached_property
    def predicted_best(self) -> Result | None:
        """The best net, where there are predictions of it."""
        best = self.study.best
        return best if best and len(predicted_classes(self.predictions, best)) else None

    @cached_property
    def confusion(self) -> np.ndarray:
        """Shares of each actual class (rows) by predicted class, of the best net, all its seeds
        together; zero without predictions."""
        counts = np.zeros(2 * (len(self.study.dataset.class_names),))
        if best := self.predicted_best:
            pairs = predicted_classes(self.predictions, best)
            np.add.at(counts, (pairs["actual"].to_numpy(), pairs["predicted"].to_numpy()), 1)
        shares: np.ndarray = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return shares

    @cached_property
    def classes(self) -> Mapping[str, Mapping[str, float]]:
        """Accuracy per class of the best net's baseline and of that net, by variant and class."""
        compared = self.study.best_and_baseline
        names = self.study.dataset.class_names
        shown = [names[label] for label in self.shown_classes]
        whole = {r.key: class_accuracies(self.predictions, r, names) for r in compared}
        return {
            key: {name: shares[name] for name in shown if name in shares}
            for key, shares in whole.items()
        }

    @cached_property
    def shown_classes(self) -> Sequence[int]:
        """Labels of the classes that tables and charts show: of many those that the best net
        recognises least."""
        total = len(self.study.dataset.class_names)
        if total <= MOST_CLASSES:
            return range(total)
        # Classes without test images come last.
        present = self.confusion.any(1)
        order = np.lexsort((np.diag(self.confusion), ~present))
        return sorted(order[:MOST_CLASSES].tolist())

    @cached_property
    def flawed(self) -> list[Result]:
        """The variants that did not come to a result."""
        return [result for result in self.study.results.values() if result.flaw]

    @cached_property
    def steps(self) -> list[Result]:
        """The steps of ``improve``, after the baselines that they start from."""
        steps = self.study.group("improve")
        bases = {base.key: base for base in map(self.study.baseline, steps)}
        return [*bases.values(), *steps]

    @cached_property
    def rungs(self) -> dict[str, Result]:
        """From no trick to today's, by title, of what params.yaml plans."""
        ablation, results = self.study.params.ablation, self.study.results
        best = "the original's best recipe" if self.study.goal else "a recipe of the single tricks"
        keys = {"no trick": "reference-baseline", best: ORIGINAL_BEST}
        keys |= {"today's tricks": f"improve-{ablation.recipe}"} if ablation else {}
        return {title: results[key] for title, key in keys.items() if key in results}

    @cached_property
    def reached(self) -> list[Result]:
        """The steps of ``improve`` that reach the goal."""
        steps, goal = self.study.group("improve"), self.study.goal
        return [step for step in steps if goal and (step.mean("test_accuracy") or 0) >= goal]

    @cached_property
    def climbed(self) -> bool:
        """Whether a step of ``improve`` has a result."""
        return any(step.values("test_accuracy") for step in self.study.group("improve"))

    @cached_property
    def seeds_text(self) -> str:
        """How many seeds, and which."""
        planned, counts = self.study.params.seeds, self.study.seed_counts
        listed = ", ".join(map(str, planned))
        if not counts or counts == [len(planned)]:
            return f"n = {len(planned)} ({listed})"
        found = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
        return f"n = {found} of {len(planned)} planned ({listed})"

    @cached_property
    def provenance(self) -> Provenance:
        """What trained the nets, on which data, and how to make this again."""
        return provenance(self.study, self.ingredients)
