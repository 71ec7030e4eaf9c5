"""What is logged of a variant for comparison: a run of MLflow, with one below it for each seed.

It is plain values from files that are there already (``run.json``, ``history.csv``,
``metrics.json`` and the notes in ``logs/``); :mod:`cifar_tricks.tracking.track` sends it to MLflow.
"""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.runs.folders import read_history, read_run, run_folder, seed_folder
from cifar_tricks.runs.run import Run
from cifar_tricks.tracking.tags import listed, run_identity, run_params, run_tags


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One run of MLflow.

    Args:
        name: as the run table shows it.
        tags: texts to filter and group by.
        params: the resolved recipe, one value per dotted key.
        metrics: one value each.
        curves: values by name and training step; MLflow shows what is before the slash of a name
            as a section of charts, in alphabetical order.
        times: when the training began and ended, in seconds since 1970; None if not known.
        diverged: whether a loss was not finite.
        files: what to keep with the run, each with the folder that it goes to ("" for the top).
        children: one run per seed; none for a seed.
        known_as: the tag ``identity`` of other runs that make this one needless.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[tuple[str, int], float]
    times: tuple[float, float] | None
    diverged: bool
    files: tuple[tuple[Path, str], ...]
    children: tuple[LoggedRun, ...] = ()
    known_as: tuple[str, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """The tag ``identity`` of every run that makes this one needless, its own last."""
        return (*self.known_as, self.tags["identity"])


def make_logged_run(
    scale: str, key: str, metrics: Mapping[str, Any], *, folder: Path, study: bool = False
) -> LoggedRun:
    """Reads all that is known of a variant.

    Args:
        scale: a key of ``scales``.
        key: of the variant.
        metrics: the content of ``metrics.json``.
        folder: of the report; figures lie in its ``figures/``.
        study: whether an equal result of the study makes that of an experiment needless.

    Returns:
        Its means over the seeds, with the standard deviations (n - 1) where there are several
        seeds; no mean where a seed has no value or has diverged. The children are the seeds.

    Raises:
        UserError: a file of the run is missing or damaged, or the metrics are not of this run.
    """
    run = read_run(scale, key)
    scores = metrics["variants"].get(key)
    if scores is None or not _is_of(run, scores):
        raise UserError(f"{folder / 'metrics.json'} does not score this {key}: dvc repro does")
    tags = run_tags(run, scores)
    seeds = tuple(_seed_run(run, seed, scores, tags) for seed in run.seeds)
    diverged = [seed for seed, result in run.seeds.items() if result.status == "diverged"]
    times = [logged.times for logged in seeds if logged.times is not None]
    figures = ((figure, "figures") for figure in _figures(folder / "figures", key))
    return LoggedRun(
        name=tags["mlflow.runName"],
        tags=tags
        | {"seed": listed(run.seeds)}
        | ({"diverged": f"seed {listed(diverged)}"} if diverged else {}),
        params=run_params(run),
        metrics=_summary([logged.metrics for logged in seeds], diverged=bool(diverged))
        | {"num_seeds": float(len(seeds))},
        curves=_mean([logged.curves for logged in seeds]),
        times=(min(start for start, _ in times), max(end for _, end in times)) if times else None,
        diverged=bool(diverged),
        files=((run_folder(scale, key) / "run.json", ""), *figures),
        children=seeds,
        known_as=(run_identity(run, scores, ""),) if study else (),
    )


def _is_of(run: Run, scores: Mapping[str, Any]) -> bool:
    """Whether it is this training that was scored, not another one of the same variant."""
    trained = [result.validation_accuracy for result in run.seeds.values()]
    same = scores["validation_accuracy"]["values"] == trained
    return bool(scores["seeds"] == list(run.seeds) and same)


def _seed_run(run: Run, seed: int, scores: Mapping[str, Any], tags: Mapping[str, str]) -> LoggedRun:
    result, log = run.seeds[seed], _log(run, seed)
    index = scores["seeds"].index(seed)
    by_split = {
        name: score["values"][index]
        for name, score in scores.items()
        if isinstance(score, dict) and "values" in score
    }
    values = by_split | {
        "num_parameters": run.num_parameters,
        "steps": result.steps,
        "best_step": result.best_step,
        "images_per_second": log.get("images_per_second"),
        "training_seconds": log.get("seconds", result.origin.seconds),
    }
    diverged = result.status == "diverged"
    history = seed_folder(run.scale, run.key, seed) / "history.csv"
    name = f"{tags['mlflow.runName']} seed={seed}"
    return LoggedRun(
        name=name,
        tags={**tags, "mlflow.runName": name, "seed": str(seed), "status": result.status}
        | {"identity": f"{tags['identity']}-seed={seed}"}
        | {"weights_sha256": result.weights_sha256}
        | ({"diverged": f"step {result.steps}"} if diverged else {}),
        params=run_params(run) | {"seed": str(seed)},
        metrics={name: float(value) for name, value in values.items() if value is not None},
        curves=dict(_curves(read_history(run, seed))),
        times=(log["ended"] - log["seconds"], log["ended"]) if log else None,
        diverged=diverged,
        files=((history, ""),),
    )


def _log(run: Run, seed: int) -> dict[str, Any]:
    """What the training noted outside DVC's outputs; empty where the outputs came from a cache."""
    path = project_root() / "logs" / run.scale / run.key / f"seed={seed}.json"
    try:
        return {**json.loads(path.read_bytes()), "ended": path.stat().st_mtime}
    except (OSError, ValueError):
        return {}


def _curves(history: str) -> Iterator[tuple[tuple[str, int], float]]:
    for row in csv.DictReader(history.splitlines()):
        for quantity in ("loss", "accuracy"):
            name, value = f"curves/{row['split']}_{quantity}", float(row[quantity])
            # MLflow draws infinity as 1.8e308, and the rest of the curve as a flat line.
            if math.isfinite(value):
                yield (name, int(row["step"])), value


def _mean(samples: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
    """Means of what all samples have."""
    return {
        name: sum(sample[name] for sample in samples) / len(samples)
        for name in samples[0]
        if all(name in sample for sample in samples)
    }


def _summary(samples: Sequence[Mapping[str, float]], *, diverged: bool) -> dict[str, float]:
    """Means, and sample standard deviations of the scores.

    Args:
        samples: the metrics of each seed.
        diverged: whether a seed did: its scores are of weights from before, so they make no mean.
    """
    means = _mean(samples)
    scores = [name for name in means if name.endswith(("_loss", "_accuracy", "ece"))]
    if diverged:
        return {name: mean for name, mean in means.items() if name not in scores}
    if len(samples) < 2:
        return means
    return means | {
        f"std/{name}": statistics.stdev([sample[name] for sample in samples]) for name in scores
    }


def _figures(folder: Path, key: str) -> list[Path]:
    # A key may begin with another one: model1-augment, model1-augment_online.
    named = re.compile(rf"(?<![a-z0-9_]){re.escape(key)}(?![a-z0-9_])")
    return [path for path in sorted(folder.glob("*.png")) if named.search(path.stem)]
