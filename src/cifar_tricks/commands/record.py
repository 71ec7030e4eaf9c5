"""Puts finished seeds on record, and trains those that are not finished.

    python -m cifar_tricks.recording KEY SEED [SEED ...]

``make share`` calls it for every variant and seed in turn. Weights stay in ``resume``, where a
later ``dvc repro`` on this machine finds them.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from cifar_tricks.answers import to_answers
from cifar_tricks.checkpoint import differences
from cifar_tricks.claims import STATE
from cifar_tricks.errors import UserError, exit_code
from cifar_tricks.files import project_root
from cifar_tricks.handover import Record, difference, read_record, write_record
from cifar_tricks.outcome import SeedResult
from cifar_tricks.params import load_params
from cifar_tricks.publish import describe, finished_result, keep_result
from cifar_tricks.resume import Training
from cifar_tricks.runs import HISTORY, WEIGHTS, read_run, record_file, seed_folder
from cifar_tricks.schema import Params
from cifar_tricks.scoring import read_test_images, score_seed
from cifar_tricks.stopping import stop_request
from cifar_tricks.study import check_room, claimed, plan, train_missing
from cifar_tricks.surroundings import tell_rounding
from cifar_tricks.training import ENGINE


def main(argv: list[str]) -> int:
    """Trains what is missing and writes its records; returns the exit code."""
    key, *seeds = argv
    return exit_code(lambda: record_seeds(load_params(), key, [int(seed) for seed in seeds]))


def record_seeds(params: Params, key: str, seeds: list[int]) -> None:
    """Writes ``records/<scale>/<key>/seed=<n>.json`` for each seed that has none yet.

    A seed that was trained before, by ``dvc repro`` or here, is not trained again.

    Args:
        params: the checked parameters.
        key: of a variant, or ``transfer``.
        seeds: which ones.

    Raises:
        UserError: what training and scoring refuse, or a damaged record.
        Interrupted: a signal came; the states are saved.
    """
    test_images = params.scales[params.scale].test_images
    planned = plan(params, key, seeds)
    trainings = [one for one in planned if not on_record(one, test_images=test_images)]
    if not trainings:
        return
    check_room(trainings)
    with claimed(trainings) as folders:
        for training, folder in zip(trainings, folders, strict=True):
            if not _has_weights(folder):
                adopt(training, folder)
        with stop_request() as stop_requested:
            # Its own weights are asked the test images, so nothing is taken over.
            own = params.model_copy(update={"records": "ignore"})
            train_missing(own, trainings, folders, stop_requested)
        test = read_test_images(params, trainings[0].device)
        for training, folder in zip(trainings, folders, strict=True):
            result = finished_result(folder)
            assert result is not None
            run = describe(training, {training.seed: result})
            score = score_seed(training.variant, run, training.seed, folder, test=test)
            history = (folder / HISTORY).read_bytes()
            record = Record(run=run, history=history, answers=to_answers(score))
            path = write_record(record, seconds=_seconds(training))
            (folder / STATE).unlink(missing_ok=True)
            print(f"{path}: test accuracy {score.accuracy:.4f}", flush=True)


def on_record(training: Training, *, test_images: int) -> bool:
    """Whether there is a record of this very training.

    Raises:
        UserError: it is damaged.
    """
    try:
        path = record_file(training.scale, training.variant.key, training.seed)
        return not difference(read_record(path), training, test_images=test_images)
    except FileNotFoundError:
        return False


def adopt(training: Training, folder: Path) -> bool:
    """Copies a seed that ``dvc repro`` trained from ``runs`` to the folder of its state.

    Args:
        training: whose result is wanted.
        folder: of its state, claimed.

    Returns:
        Whether there was one of this very training, with its weights.
    """
    result = trained_seeds([training]).get(training.seed)
    if result is None or result.origin.recorded:
        return False
    source = seed_folder(training.scale, training.variant.key, training.seed)
    for name in (WEIGHTS, HISTORY):
        shutil.copyfile(source / name, folder / name)
    keep_result(folder, result)
    return True


def trained_seeds(trainings: list[Training]) -> dict[int, SeedResult]:
    """The results in ``runs``, by seed, that are of these trainings of one variant: of the same
    recipe, data and engine."""
    first = trainings[0]
    try:
        run = read_run(first.scale, first.variant.key)
    except UserError:
        return {}
    wanted = {"recipe": asdict(first.variant.recipe), "data": first.data_hashes()}
    if differences({"recipe": run.recipe, "data": run.data}, wanted):
        return {}
    seeds = {training.seed for training in trainings}
    return {
        seed: result
        for seed, result in run.seeds.items()
        if seed in seeds and result.origin.engine == ENGINE
    }


def _has_weights(folder: Path) -> bool:
    return finished_result(folder) is not None and (folder / WEIGHTS).exists()


def _seconds(training: Training) -> float | None:
    """Wall time of a training on this machine, as it noted it; None where it did not."""
    name = f"seed={training.seed}.json"
    path = project_root() / "logs" / training.scale / training.variant.key / name
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


if __name__ == "__main__":
    tell_rounding()
    sys.exit(main(sys.argv[1:]))
