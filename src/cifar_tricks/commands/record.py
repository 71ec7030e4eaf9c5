"""Puts finished seeds on record, and trains those that are not finished.

    python -m cifar_tricks.commands.record KEY SEED [SEED ...] [-- KEY SEED [SEED ...] ...]

``make share`` calls it for every variant and seed in turn, on a GPU once for all of them: a process
of its own for each would leave the GPU idle while it starts. Weights stay in ``resume``, where a
later ``dvc repro`` on this machine finds them.
"""

from __future__ import annotations

import gc
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cifar_tricks.base.errors import exit_code
from cifar_tricks.base.signals import stop_request
from cifar_tricks.base.surroundings import settle

if TYPE_CHECKING:
    from cifar_tricks.parameters.schema import Params
    from cifar_tricks.runs.seed import Seed


def main(argv: list[str]) -> int:
    """Trains what is missing and writes its records.

    A variant that fails leaves the others alone; a signal ends all.

    Returns:
        The exit code of the first that failed.
    """
    return exit_code(lambda: _record_all(list(_split(argv))))


def _record_all(jobs: list[list[str]]) -> int:
    # Here, as all that is slow to import: Ctrl-C may come meanwhile.
    from cifar_tricks.parameters.load import load_params

    params, codes = load_params(), [0]
    for key, *seeds in jobs:
        codes.append(record_or_tell(params, key, [int(seed) for seed in seeds]))
        if codes[-1] >= 128:
            return codes[-1]
    return next((code for code in codes if code), 0)


def _split(argv: Sequence[str]) -> Iterator[list[str]]:
    job: list[str] = []
    for word in argv:
        if word == "--":
            yield job
            job = []
        else:
            job.append(word)
    yield job


def record_or_tell(params: Params, key: str, seeds: list[int]) -> int:
    """As :func:`record_seeds`; what fails is told. Returns the exit code."""
    return done_or_told(key, lambda: record_seeds(params, key, seeds))


def done_or_told(key: str, work: Callable[[], None]) -> int:
    """Does one of many works of a process; what fails is told, and leaves no memory in use.

    Args:
        key: of the variant that is trained.
        work: trains it.

    Returns:
        0, or the exit code that follows: 128 and more for a signal.
    """
    try:
        return exit_code(work)
    except Exception:  # a fault of the program, which the next variant may not have
        traceback.print_exc()
        print(f"error: {key}: the training failed, see above", file=sys.stderr, flush=True)
        return 1
    finally:
        # What a failed training still holds, before the next one needs the memory, and while no
        # step is being recorded.
        gc.collect()
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()  # does nothing where no GPU is in use


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
    from cifar_tricks.evaluation.score import to_answers
    from cifar_tricks.evaluation.scoring import score_seed
    from cifar_tricks.evaluation.test_images import read_test_images
    from cifar_tricks.runs.folders import HISTORY
    from cifar_tricks.runs.plan import check_device, check_room, plan
    from cifar_tricks.runs.publish import make_run
    from cifar_tricks.runs.records import Record, on_record, write_record
    from cifar_tricks.runs.reuse import adopt
    from cifar_tricks.runs.seed import STATE, locked
    from cifar_tricks.runs.train import train_missing

    training = plan(params, key)
    numbers = [seed for seed in seeds if not on_record(training, seed)]
    if not numbers:
        return
    check_device(training)
    check_room(training, len(numbers))
    with locked(training, numbers) as todo:
        for seed in todo:
            if not seed.has_weights:
                adopt(seed)
        with stop_request() as stop_requested:
            # Its own weights are asked the test images, so nothing is taken over.
            train_missing(todo, params.gpu, stop_requested, use_records=False)
        test = read_test_images(training.test_images, training.device)
        for seed in todo:
            run = make_run([seed])
            score = score_seed(training.variant, run, seed.number, seed.folder, test=test)
            history = (seed.folder / HISTORY).read_bytes()
            record = Record(run=run, history=history, answers=to_answers(score))
            path = write_record(record, seconds=_seconds(seed))
            (seed.folder / STATE).unlink(missing_ok=True)
            views = score.augmented_accuracy
            also = f" (in several views of each image: {views:.4f})" if views is not None else ""
            print(f"{path}: test accuracy {score.accuracy:.4f}{also}", flush=True)


def _seconds(seed: Seed) -> float | None:
    """Wall time of a training on this machine, as it noted it; None where it did not."""
    from cifar_tricks.base.files import project_root

    folder = project_root() / "logs" / seed.training.scale / seed.training.variant.key
    try:
        return float(json.loads((folder / f"seed={seed.number}.json").read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


if __name__ == "__main__":
    sys.exit(exit_code(settle) or main(sys.argv[1:]))
