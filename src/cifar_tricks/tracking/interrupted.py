"""Trainings that were begun and have not ended, as runs: MLflow shows them as killed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.base.locks import is_locked
from cifar_tricks.tracking.logged_run import LoggedRun
from cifar_tricks.tracking.tags import flat_params

ROLE = "interrupted"
# As in runs/seed.py, which imports PyTorch; a look has to be quick.
ABOUT, STATE = "about.json", "state.safetensors"


def interrupted(scale: str) -> Iterator[LoggedRun]:
    """A run for each saved state that no process is training from now.

    Args:
        scale: a key of ``scales``.
    """
    for path in sorted((project_root() / "resume").glob(f"*/{STATE}")):
        folder = path.parent
        try:
            about = json.loads((folder / ABOUT).read_bytes())
            if about["scale"] == scale and not is_locked(folder):
                yield _killed_run(folder, about, json.loads(read_arrays(path).note)["progress"])
        except (OSError, ValueError, KeyError, TypeError, UserError):
            continue  # the training itself will tell what is wrong with it


def _killed_run(folder: Path, about: dict[str, Any], progress: dict[str, Any]) -> LoggedRun:
    key, seed, step = about["key"], about["seed"], progress["step"]
    ended = (folder / STATE).stat().st_mtime
    curves = {
        (f"curves/{row['split']}_{quantity}", row["step"]): row[quantity]
        for row in progress["history"]
        for quantity in ("loss", "accuracy")
        if math.isfinite(row[quantity])
    }
    return LoggedRun(
        name=f"{key} seed={seed} interrupted",
        tags={
            "mlflow.runName": f"{key} seed={seed} interrupted",
            "variant": key,
            "scale": about["scale"],
            "seed": str(seed),
            "state": folder.name,
            "identity": f"{folder.name}-step={step}",
        },
        params=flat_params(about["identity"]["recipe"]) | {"seed": str(seed)},
        metrics={"steps": float(step)},
        curves=curves,
        times=((folder / ABOUT).stat().st_mtime, ended),
        diverged=False,
        files=(),
    )
