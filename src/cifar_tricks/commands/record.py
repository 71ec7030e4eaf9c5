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
from cifar_tricks.runs.folders import HISTORY
from cifar_tricks.runs.plan import check_room, plan
from cifar_tricks.runs.publish import make_run
from cifar_tricks.runs.records import Record, on_record, write_record
from cifar_tricks.runs.reuse import adopt
from cifar_tricks.runs.seed import STATE, Seed, claimed
from cifar_tricks.runs.train import train_missing


def main(argv: list[str]) -> int:
    """Trains what is missing and writes its records; returns the exit code."""
    key, *seeds = argv
    return exit_code(lambda: record_seeds(load_params(), key, [int(seed) for seed in seeds]))


def record_seeds(params: Params, key: str, seeds: list[int]) -> None:
    """Writes ``records/<scale>/<key>/seed=<n>.json`` for each seed that has none yet.

    A seed that was trained before, by ``dvc repro`` or here, is not trained again.

    Args:
        params: the checked parameters.
        key: of a variant.
        seeds: which ones.

    Raises:
        UserError: what training and scoring refuse, or a damaged record.
        Interrupted: a signal came; the states are saved.
    """
    training = plan(params, key)
    numbers = [seed for seed in seeds if not on_record(training, seed)]
    if not numbers:
        return
    check_room(training, len(numbers))
    with claimed(training, numbers) as todo:
        for seed in todo:
            if not seed.has_weights:
                adopt(seed)
        with stop_request() as stop_requested:
            # Its own weights are asked the test images, so nothing is taken over.
            train_missing(todo, params.gpu, stop_requested, use_records=False)
        test = read_test_images(params, training.device)
        for seed in todo:
            run = make_run([seed])
            score = score_seed(training.variant, run, seed.number, seed.folder, test=test)
            history = (seed.folder / HISTORY).read_bytes()
            record = Record(run=run, history=history, answers=to_answers(score))
            path = write_record(record, seconds=_seconds(seed))
            (seed.folder / STATE).unlink(missing_ok=True)
            print(f"{path}: test accuracy {score.accuracy:.4f}", flush=True)


def _seconds(seed: Seed) -> float | None:
    """Wall time of a training on this machine, as it noted it; None where it did not."""
    folder = project_root() / "logs" / seed.training.scale / seed.training.variant.key
    try:
        return float(json.loads((folder / f"seed={seed.number}.json").read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
