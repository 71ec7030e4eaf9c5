"""What a logged run is found and compared by: its tags, and its parameters as texts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from cifar_tricks.runs.run import Run


def run_tags(run: Run, scores: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a variant.

    Args:
        run: what was trained.
        scores: of its seeds, from ``metrics.json``.

    Returns:
        Among them ``identity``: equal for equal results of the same DVC experiment.
    """
    experiment = os.environ.get("DVC_EXP_NAME", "")
    commit = _git_commit()
    return {
        # Several runs of one variant are told apart in a chart's legend.
        "mlflow.runName": f"{run.key} ({experiment})" if experiment else run.key,
        "mlflow.source.name": f"stages/train.py {run.key}",
        "mlflow.source.type": "LOCAL",
        "variant": run.key,
        "model": run.model,
        "trick": run.trick,
        "group": run.group,
        "scale": run.scale,
        "dvc.stage": run.stage,
        "device": listed(dict.fromkeys(origin.device for origin in run.origins)),
        "device_name": listed(dict.fromkeys(origin.device_name for origin in run.origins)),
        "torch": listed(dict.fromkeys(origin.torch for origin in run.origins)),
        "engine": listed(dict.fromkeys(origin.engine for origin in run.origins)),
        "identity": run_identity(run, scores, experiment),
        **{f"data.{name}": sha256 for name, sha256 in run.data.items()},
        **({"dvc.experiment": experiment} if experiment else {}),
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }


def run_identity(run: Run, scores: Mapping[str, Any], experiment: str) -> str:
    """A hash that is equal for equal results of the same DVC experiment ("" for the study's)."""
    content = {"run": asdict(run), "scores": scores, "experiment": experiment}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _git_commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def run_params(run: Run) -> dict[str, str]:
    """Every value of the resolved recipe by its path, e.g. ``net.filters``: ``64, 64, 64``."""
    return {"tricks": listed(run.tricks), **flat_params(run.recipe)}


def flat_params(recipe: dict[str, Any]) -> dict[str, str]:
    """The same of a recipe alone, as JSON values."""
    return dict(_flat(recipe, ()))


def listed(values: Iterable[object]) -> str:
    """The values, separated by commas."""
    return ", ".join(map(str, values)) or "none"


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, (*path, name))
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for number, part in enumerate(value):
            yield from _flat(part, (*path, str(number)))
    elif isinstance(value, list):
        yield ".".join(path), listed(value)
    else:
        yield ".".join(path), "none" if value is None else str(value)
