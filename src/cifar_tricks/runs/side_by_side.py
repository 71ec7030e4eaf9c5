"""Training the seeds of a variant, side by side or in turn, each written as soon as it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from cifar_tricks.base.arrays import write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.runs.display import TrainingDisplay
from cifar_tricks.runs.folders import HISTORY, WEIGHTS, write_history
from cifar_tricks.runs.publish import log_times, seed_result
from cifar_tricks.runs.seed import STATE, Seed
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import TrainingData, make_training_data
from cifar_tricks.training.loop import Fitted, Task, fit
from cifar_tricks.training.progress import Progress
from cifar_tricks.training.streams import open_stream


def groups(seeds: list[Seed], at_once: int | str) -> Iterator[list[Seed]]:
    """Which seeds train side by side.

    Args:
        seeds: all of a variant.
        at_once: at most this many on a GPU, or auto.
    """
    training = seeds[0].training
    if training.device.type != "cuda":
        at_once = 1  # more would only compete for the caches
    elif at_once == "auto":
        recipe, total = training.variant.recipe, len(training.arrays["labels"])
        # Features of frozen layers fill the memory, unless all seeds share those of the file.
        shared = 2 * (recipe.train_images + recipe.validation_images) >= total
        at_once = len(seeds) if shared or not recipe.features else 1
    size = int(at_once)
    yield from (seeds[at : at + size] for at in range(0, len(seeds), size))


def train_seeds(seeds: Sequence[Seed], stop_requested: Callable[[], bool], *, graphs: bool) -> None:
    """Trains seeds of one variant side by side; each is written to its folder as soon as it ends.

    Args:
        seeds: what to train.
        stop_requested: asked after each step.
        graphs: whether a GPU records a step and replays it.

    Raises:
        UserError: the GPU's memory ran out.
        Interrupted: ``stop_requested`` said so; the states are saved.
    """
    training, started = seeds[0].training, time.time()
    by_number = {seed.number: seed for seed in seeds}
    displays, watches = {}, {}
    for place, seed in enumerate(seeds):
        # A result that was taken over without weights, and now is trained: its curves are others.
        seed.begin()
        displays[seed.number] = TrainingDisplay(training.variant, seed.number, place=place)
        watches[seed.number] = _Watch(seed.folder)

    def on_step(seed: int, progress: Progress) -> None:
        displays[seed](progress)
        watches[seed](progress)

    try:
        for task, fitted in fit(
            training.variant.recipe,
            [_task(seed) for seed in seeds],
            device=training.device,
            open_stream=partial(open_stream, graphs=graphs),
            on_prepare=lambda seed, done, total: displays[seed].prepare(done, total),
            on_step=on_step,
            should_stop=stop_requested,
        ):
            displays[task.seed].close()
            _keep(by_number[task.seed], task.data, fitted, seconds=time.time() - started)
    except RuntimeError as error:
        if not _ran_out_of_memory(error):
            raise
        count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
        raise UserError(
            f"the GPU's memory ran out with {count} of {training.variant.key} at once; the states "
            "saved so far are kept; set gpu.seeds_at_once in params.yaml to fewer, or free the GPU"
        ) from error


class _Watch:
    """Shows the learning curves so far in the folder of a state, for whoever watches a training."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.num_rows = folder, 0

    def __call__(self, progress: Progress) -> None:
        """Called after each step: writes the file after a validation, and once after a resumption,
        since a killed training may have come further than its saved state."""
        if len(progress.history) != self.num_rows:
            self.num_rows = len(progress.history)
            with contextlib.suppress(UserError):  # nothing depends on it
                rows = map(asdict, progress.history)
                write_history(self.folder / HISTORY, rows, durably=False)


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Also where it happened while a step was recorded, which then fails in its own way."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _task(seed: Seed) -> Task:
    training = seed.training
    data = make_training_data(
        training.arrays,
        training.copies,
        training.variant.recipe,
        seed=seed.number,
        device=training.device,
        backbone=training.backbone.arrays if training.backbone else None,
    )
    checkpoint = Checkpoint(path=seed.folder / STATE, identity=seed.identity)
    return Task(seed=seed.number, data=data, checkpoint=checkpoint)


def _keep(seed: Seed, data: TrainingData, fitted: Fitted, *, seconds: float) -> None:
    """Writes a finished training to its folder."""
    weights = {name: weight.numpy() for name, weight in fitted.weights.items()}
    rows = map(asdict, fitted.progress.history)
    result = seed_result(
        seed.training,
        fitted,
        data.normalisation,
        weights_sha256=write_arrays(seed.folder / WEIGHTS, weights),
        history_sha256=write_history(seed.folder / HISTORY, rows),
    )
    log_times(seed, fitted, seconds=seconds)
    seed.end(result)
