"""Finished seeds that a change does not touch are taken from DVC's cache.

DVC deletes the output of a stage before it runs it again, also where only a seed was added. What it
deletes is in its cache, and ``dvc.lock`` names it until the stage ends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US, differences, read_signed
from cifar_tricks.runs.folders import HISTORY, WEIGHTS, run_folder
from cifar_tricks.runs.run import Run
from cifar_tricks.runs.seed import RESULT, Training, finished_result, keep_result

LOCK = Path("dvc.lock")


def take_cached(trainings: Sequence[Training], folders: Sequence[Path]) -> None:
    """Puts what is finished of these trainings into their folders, as if it had ended there.

    Does nothing outside DVC, or where nothing that the stage depends on has changed: then it was
    forced, and trains.

    Args:
        trainings: all seeds of a variant.
        folders: of their states, claimed, in the same order.
    """
    stage = os.environ.get("DVC_STAGE", "")
    files = _last_output(stage, run_folder(trainings[0].scale, trainings[0].variant.key))
    try:
        run = Run.from_json(read_signed(files["run.json"].read_bytes()))
    except NOT_WRITTEN_BY_US:
        return
    found = [pair for pair in zip(trainings, folders, strict=True) if _is_of(run, pair[0])]
    if not found or not _has_changed(stage):
        return
    for training, folder in found:
        if (folder / RESULT).exists():
            continue
        try:
            for name in (WEIGHTS, HISTORY):
                shutil.copyfile(files[f"seed={training.seed}/{name}"], folder / name)
            keep_result(folder, run.seeds[training.seed])
            finished_result(folder)
        except (UserError, KeyError, FileNotFoundError):  # gone from the cache, or damaged there
            (folder / RESULT).unlink(missing_ok=True)


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


def _is_of(run: Run, training: Training) -> bool:
    """Whether the run has this very seed, trained here as it would be now, with its weights."""
    result = run.seeds.get(training.seed)
    if result is None or result.origin.recorded:
        return False
    origin = result.origin
    identity = {
        "recipe": run.recipe,
        "seed": training.seed,
        "device": origin.device_name,
        "torch": origin.torch,
        "data": run.data,
        "code": origin.code,
    }
    return not differences(identity, training.identity())


def _has_changed(stage: str) -> bool:
    """Whether the stage differs from what dvc.lock says of it, its output aside."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.stage.load_one(name=stage)
        return bool(found.changed_stage() or not found.deps_cached())
