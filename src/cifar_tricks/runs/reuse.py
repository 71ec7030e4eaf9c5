"""Finished seeds that a change does not touch are taken from ``runs`` and from DVC's cache.

DVC deletes the output of a stage before it runs it again, also where only a seed was added. What it
deletes is in its cache, and ``dvc.lock`` names it until the stage ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US, differences, read_signed
from cifar_tricks.runs.ahead import has_changed
from cifar_tricks.runs.folders import HISTORY, WEIGHTS, read_run, run_folder, seed_folder
from cifar_tricks.runs.plan import Training
from cifar_tricks.runs.run import Run, SeedResult
from cifar_tricks.runs.seed import RESULT, Seed, check_files
from cifar_tricks.training.call import as_json
from cifar_tricks.training.loop import ENGINE

LOCK = Path("dvc.lock")


def take_cached(seeds: Sequence[Seed]) -> None:
    """Puts what is finished of these seeds into their folders, as if it had ended there.

    Does nothing outside DVC, or where nothing that the stage depends on has changed: then it was
    forced, and trains.

    Args:
        seeds: all of a variant, locked.
    """
    training, stage = seeds[0].training, os.environ.get("DVC_STAGE", "")
    files = _last_output(stage, run_folder(training.scale, training.variant.key))
    try:
        run = Run.from_json(read_signed(files["run.json"].read_bytes()))
    except NOT_WRITTEN_BY_US:
        return
    found = [seed for seed in seeds if _is_of(run, seed)]
    if not found or not has_changed(stage):
        return
    for seed in found:
        if (seed.folder / RESULT).exists():
            continue
        # It may be gone from the cache, or damaged there.
        with contextlib.suppress(UserError, KeyError, FileNotFoundError):
            result = run.seeds[seed.number]
            for name in (WEIGHTS, HISTORY):
                shutil.copyfile(files[f"seed={seed.number}/{name}"], seed.folder / name)
            check_files(seed.folder, result, remedy="")
            seed.end(result)


def adopt(seed: Seed) -> bool:
    """Copies a seed that ``dvc repro`` trained from ``runs`` to its folder.

    Args:
        seed: locked.

    Returns:
        Whether there was one of this very training, with its weights.

    Raises:
        UserError: it is damaged.
    """
    result = trained_seeds(seed.training).get(seed.number)
    if result is None or result.origin.recorded:
        return False
    source = seed_folder(seed.training.scale, seed.training.variant.key, seed.number)
    check_files(source, result, remedy=restored(source))
    seed.begin()
    for name in (WEIGHTS, HISTORY):
        shutil.copyfile(source / name, seed.folder / name)
    seed.end(result)
    return True


def trained_seeds(training: Training) -> dict[int, SeedResult]:
    """The results in ``runs``, by seed, that are of this training: of the same recipe, data and
    engine."""
    try:
        run = read_run(training.scale, training.variant.key)
    except UserError:
        return {}
    wanted = {"recipe": as_json(training.variant.recipe), "data": training.data_hashes()}
    if differences({"recipe": run.recipe, "data": run.data}, wanted):
        return {}
    return {
        seed: one
        for seed, one in run.seeds.items()
        if one.origin.engine == ENGINE and training.accepts(one.origin.device)
    }


def _last_output(stage: str, folder: Path) -> dict[str, Path]:
    """The files of a stage's last output by their names in it, each as DVC's cache has it."""
    try:
        # All of dvc.lock would take seconds to parse.
        entry = re.search(
            rf"^  {re.escape(stage)}:\n(?:   .*\n)+", LOCK.read_text("utf-8"), re.MULTILINE
        )
        (output,) = YAML(typ="safe").load(entry[0] if entry else "")[stage]["outs"]
        if output["path"] != folder.as_posix():  # of another scale
            return {}
        cache = _cache()
        listed = json.loads(_object(cache, output["md5"]).read_bytes())
        return {file["relpath"]: _object(cache, file["md5"]) for file in listed}
    except NOT_WRITTEN_BY_US:
        return {}


def _cache() -> Path:
    # Not dvc.repo, whose import takes as long as a small training.
    from dvc.config import Config

    return Path(Config(".dvc")["cache"].get("dir") or ".dvc/cache") / "files/md5"


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _is_of(run: Run, seed: Seed) -> bool:
    """Whether the run has this very seed, trained here as it would be now, with its weights."""
    result = run.seeds.get(seed.number)
    if result is None or result.origin.recorded:
        return False
    if not seed.training.accepts(result.origin.device):
        return False
    found = {
        "recipe": run.recipe,
        "seed": seed.number,
        "device": result.origin.device_name,
        "torch": result.origin.torch,
        "data": run.data,
        "code": result.origin.code,
    }
    return not differences(found, seed.identity)
