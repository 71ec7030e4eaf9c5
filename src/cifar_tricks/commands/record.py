"""Puts finished seeds on record, and trains those that are not finished.

    python -m cifar_tricks.commands.record KEY SEED [SEED ...]

``make share`` calls it for every variant and seed in turn. Weights stay in ``resume``, where a
later ``dvc repro`` on this machine finds them.
"""

from __future__ import annotations

import json
import sys

from cifar_tricks.base.errors import exit_code
from cifar_tricks.base.files import project_root
from cifar_tricks.base.signals import stop_request
from cifar_tricks.evaluation.score import to_answers
from cifar_tricks.evaluation.scoring import score_seed
from cifar_tricks.evaluation.test_images import read_test_images
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.finished import _has_weights, adopt, on_record
from cifar_tricks.runs.folders import HISTORY
from cifar_tricks.runs.publish import describe
from cifar_tricks.runs.records import Record, write_record
from cifar_tricks.runs.seed import STATE, Training, claimed, finished_result
from cifar_tricks.runs.train import check_room, plan, train_missing


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


def _seconds(training: Training) -> float | None:
    """Wall time of a training on this machine, as it noted it; None where it did not."""
    name = f"seed={training.seed}.json"
    path = project_root() / "logs" / training.scale / training.variant.key / name
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
