"""What came of the study: every variant of params.yaml with its runs, scores and holes.

Figures and report read here and nowhere else, so that they agree on what counts as a result: a
variant with a missing or diverged seed has no mean, and a difference is one between equal seeds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.datasets.dataset import Dataset
from cifar_tricks.evaluation.original import original_claim, original_result
from cifar_tricks.parameters.protocol import dataset, follows_original, is_cifar10
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants
from cifar_tricks.runs.checks import check_complete, check_data, check_run
from cifar_tricks.runs.folders import read_run, run_folder
from cifar_tricks.runs.run import Run
from cifar_tricks.training.backbones import check_choice

MISSING, DIVERGED = HOLES = "missing", "diverged"
GOAL = 0.80  # test accuracy that the original's task 3e asks for
IN_VIEWS = "augmented_test_accuracy"  # only of recipes that score with several views of an image
OF_SPLITS = [f"{s}_{n}" for s in ("test", "validation", "train") for n in ("accuracy", "loss")]
SCORES = (*OF_SPLITS, "ece", IN_VIEWS)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one variant.

    Args:
        variant: the recipe, from params.yaml.
        seeds: that it was trained with, of those of params.yaml; all of these where it was not
            trained. A study grows seed by seed, and those that are not there yet were not left out
            for what came of them.
        run: what was trained; None where nothing was.
        scores: of the kept weights, by name (see SCORES) and seed; accuracies in [0, 1], losses in
            nats, None where not finite.
        original: the original report's figures of this variant; empty where it has none, or where
            the scale has a protocol of its own.
        said: likewise, what it says of it in words, ``worse`` or ``little`` (effect), or None.
    """

    variant: Variant
    seeds: tuple[int, ...]
    run: Run | None
    scores: dict[str, dict[int, float | None]]
    original: Mapping[str, float] = field(default_factory=dict)
    said: str | None = None

    @property
    def key(self) -> str:
        """Names the variant's folder."""
        return self.variant.key

    def status(self, seed: int) -> str:
        """How the seed's training ended: finished, stopped early, diverged or missing."""
        if self.run is None or seed not in self.run.seeds:
            return MISSING
        if self.scores.get("test_accuracy", {}).get(seed) is None:
            return MISSING
        return self.run.seeds[seed].status

    @property
    def flaw(self) -> str:
        """What stands in the place of a mean, e.g. "diverged (1 of 3 seeds)"; empty for none."""
        counts = Counter(self.status(seed) for seed in self.seeds)
        for status in (MISSING, DIVERGED):
            if counts[status] == len(self.seeds):
                return f"left out: {reason}" if (reason := self.variant.left_out) else status
            if counts[status]:
                return f"{status} ({counts[status]} of {len(self.seeds)} seeds)"
        return ""

    def values(self, name: str) -> list[float]:
        """The score of every seed, in their order; empty where the variant has a flaw."""
        values = [self.scores.get(name, {}).get(seed) for seed in self.seeds]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) and not self.flaw else []

    def mean(self, name: str) -> float | None:
        """Mean of the score over all seeds; None where one is missing."""
        values = self.values(name)
        return fmean(values) if values else None


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """All results at the chosen scale, by key, in the order of params.yaml."""

    params: Params
    results: dict[str, Result]

    @property
    def dataset(self) -> Dataset:
        """What the nets were trained on."""
        return dataset(self.params)

    @property
    def goal(self) -> float | None:
        """Test accuracy that ``improve`` aims at; None on other data than the original's."""
        return GOAL if is_cifar10(self.params) else None

    def group(self, name: str) -> list[Result]:
        """The results of a group: reference, tricks, improve, combine or transfer."""
        return [result for result in self.results.values() if result.variant.group == name]

    def baseline(self, result: Result) -> Result:
        """What the result is compared with, which is the baseline of its net but for what a recipe
        lacks; nets from ImageNet have none."""
        return self.results[result.variant.base]

    @property
    def seed_counts(self) -> list[int]:
        """The different numbers of seeds that variants with a result have, the least first."""
        return sorted({len(result.seeds) for result in self.results.values() if not result.flaw})

    @property
    def most_seeds(self) -> int:
        """The largest of them; as many as are planned where nothing has a result."""
        return max(self.seed_counts, default=len(self.params.seeds))

    def pairs(self, result: Result) -> tuple[int, ...]:
        """Seeds of both the result and its baseline."""
        return tuple(seed for seed in result.seeds if seed in self.baseline(result).seeds)

    def difference(self, result: Result, seed: int) -> float | None:
        """Test accuracy minus that of the baseline with the same seed; None across a hole or
        without a baseline."""
        if result.variant.backbone:
            return None
        pair = (result, self.baseline(result))
        if any(seed not in one.seeds or one.status(seed) in HOLES for one in pair):
            return None
        ours, base = (one.scores["test_accuracy"][seed] for one in pair)
        return None if ours is None or base is None else ours - base

    def differences(self, result: Result) -> list[float]:
        """The difference of every pair of equal seeds; empty where either has a flaw."""
        if result.variant.backbone or result.flaw or self.baseline(result).flaw:
            return []
        values = (self.difference(result, seed) for seed in self.pairs(result))
        return [value for value in values if value is not None]

    def original_difference(self, result: Result) -> float | None:
        """The original report's difference from its baseline; None where it printed none."""
        if result.variant.backbone:
            return None
        ours = result.original.get("test_accuracy")
        base = self.baseline(result).original.get("test_accuracy")
        return None if ours is None or base is None else ours - base

    @property
    def best(self) -> Result | None:
        """The step of ``improve``, else the trick with the highest validation accuracy (never
        chosen on the test images); None where nothing has a result."""
        whole = [r for r in self.group("improve") if r.values("validation_accuracy")]
        whole = whole or [r for r in self.group("tricks") if r.values("validation_accuracy")]
        return max(whole, key=lambda r: r.mean("validation_accuracy") or 0.0, default=None)

    @property
    def best_and_baseline(self) -> list[Result]:
        """The baseline of the best net, then that net; one of them where they are the same."""
        if (best := self.best) is None:
            return []
        return [best] if (base := self.baseline(best)) is best else [base, best]


def report_folder(params: Params) -> Path:
    """``reports/<scale>``."""
    return Path("reports") / params.scale


def read_study(params: Params) -> StudyResults:
    """Reads ``metrics.json`` and every variant's ``run.json``.

    Raises:
        UserError: metrics.json or a run is missing or damaged, or the runs are of different data.
    """
    path = report_folder(params) / "metrics.json"
    try:
        measured = dict(json.loads(path.read_bytes())["variants"])
        scored = {key: {*scores["seeds"]} for key, scores in measured.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: dvc repro evaluate writes it") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged: dvc repro --force --single-item evaluate") from error
    known = planned_variants(params)
    if scored.keys() - known:  # of a backbone, perhaps, of which nothing is here
        check_choice()
    planned = {key: scored[key] & {*params.seeds} for key in known if key in scored}
    check_complete(params.scale, planned)
    results = {key: _read_result(params, known[key], measured.get(key, {})) for key in known}
    check_data({key: result.run for key, result in results.items() if result.run is not None})
    return StudyResults(params=params, results=results)


def _read_result(params: Params, variant: Variant, measured: dict[str, Any]) -> Result:
    exists = (run_folder(params.scale, variant.key) / "run.json").exists()
    run = read_run(params.scale, variant.key) if exists else None
    if run is not None:
        check_run(run, variant, params.seeds)
    scores = {
        name: dict(zip(measured["seeds"], measured.get(name, {}).get("values", []), strict=False))
        for name in (SCORES if measured else ())
    }
    seeds = tuple(seed for seed in params.seeds if run is None or seed in run.seeds)
    found, key = Result(variant=variant, seeds=seeds, run=run, scores=scores), variant.key
    if not follows_original(params):
        return found
    return replace(found, original=original_result(key) or {}, said=original_claim(key))
