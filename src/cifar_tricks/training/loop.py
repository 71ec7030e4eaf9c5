"""The only training loop. Read :func:`fit` first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cifar_tricks.base.errors import Interrupted, UserError
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import TrainingData
from cifar_tricks.training.progress import Progress
from cifar_tricks.training.recipe import AnyRecipe
from cifar_tricks.training.streams import Stream, open_stream
from cifar_tricks.training.trainer import Trainer

# Raised when a change lets the same recipe, seed and data end in other numbers (the golden losses
# of tests/training/test_loop.py tell): results of different engines are not compared, see
# runs/records.py.
ENGINE = 1
# A saved state costs about as much as a few steps; any step can be resumed from.
SECONDS_BETWEEN_CHECKPOINTS = 30.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """One seed to train.

    Args:
        seed: every random number of the run derives from it.
        data: its images, on the device of the training.
        checkpoint: where its state is kept while it trains; removed by the caller.
    """

    seed: int
    data: TrainingData
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A finished training.

    Args:
        weights: state dict that the recipe keeps, on the CPU, contiguous.
        progress: steps, learning curves, best step.
        train: mean loss and accuracy of these weights over all training images.
        validation: the same over the validation images; NaN where there are none.
        images_per_second: training images of this seed over the time that the steps of all seeds
            took, validation and start-up excluded; 0 where no step was left to do.
    """

    weights: dict[str, Tensor]
    progress: Progress
    train: tuple[float, float]
    validation: tuple[float, float]
    images_per_second: float


def fit(
    recipe: AnyRecipe,
    tasks: Sequence[Task],
    *,
    device: torch.device,
    open_stream: Callable[[torch.device], Stream] = open_stream,
    on_prepare: Callable[[int, int, int], None] = lambda seed, done, total: None,
    on_step: Callable[[int, Progress], None] = lambda seed, progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, Fitted]]:
    """Trains one net per seed, all of them a step at a time, and yields each as it ends.

    Each gives the same bytes as alone and as in any other run with the same arguments on the same
    machine, also when the training was interrupted in between and taken up from its checkpoint.
    On a GPU their steps run side by side; on a CPU one seed at a time is faster.

    Args:
        recipe: what to train and how.
        tasks: the seeds.
        device: where the nets live.
        open_stream: makes the stream that a seed's work is queued on.
        on_prepare: called with the seed, images done and images in all while a frozen trunk's
            features are computed, before the first step.
        on_step: called with the seed after each of its steps and its validation, if any.
        should_stop: asked after each step and between preparations; True saves the states and ends
            the training.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    runs: dict[Trainer, Task] = {}
    for task in tasks:
        _start(runs, task, recipe, device, open_stream(device), on_prepare, should_stop)
    clock, saved = _Clock(), time.monotonic()
    while True:
        # A finished training is freed before its result is given away: nothing here names it.
        for task in [task for run, task in runs.items() if run.finished]:
            yield task, _finish(runs, task, clock)
        if not runs:
            return
        _step_and_validate(runs, clock)
        for run, task in runs.items():
            on_step(task.seed, run.progress)
        stop = should_stop()
        due = stop or time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        for run, task in runs.items():
            # Before the last measurement too: that of a large net takes a while.
            if task.checkpoint and (due or run.finished):
                with run.turn():
                    task.checkpoint.save(run.state())
        if due:
            saved = time.monotonic()
        del run
        if stop:
            raise Interrupted


def _start(
    runs: dict[Trainer, Task],
    task: Task,
    recipe: AnyRecipe,
    device: torch.device,
    stream: Stream,
    on_prepare: Callable[[int, int, int], None],
    should_stop: Callable[[], bool],
) -> None:
    """Adds a task's training, ready for its first or next step."""
    with _private_randomness(device):
        run = Trainer(recipe, task.data, seed=task.seed, device=device, stream=stream)
    runs[run] = task
    with run.turn():
        if task.checkpoint and (state := task.checkpoint.load()):
            _restore(run, state, task.checkpoint)
        for done, total in run.data.prepare():
            on_prepare(task.seed, done, total)
            if should_stop():
                raise Interrupted


def _step_and_validate(runs: Iterable[Trainer], clock: _Clock) -> None:
    """A step of each training, and the validation of those where it is due."""
    with clock:
        for run in runs:
            with run.turn():
                run.train_step()
        validating = [run for run in runs if run.validation_is_due]
        for run in validating:
            run.stream.wait()
    for run in validating:
        with run.turn():
            run.start_validation()
    for run in validating:
        with run.turn():
            run.finish_validation()


def _restore(run: Trainer, state: dict[str, Any], checkpoint: Checkpoint) -> None:
    try:
        run.restore(state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        path = checkpoint.path
        raise UserError(f"{path} does not fit this net: to start anew, rm {path}") from error


def _finish(runs: dict[Trainer, Task], task: Task, clock: _Clock) -> Fitted:
    """What came of a task's training, which is gone afterwards."""
    run = next(run for run, other in runs.items() if other is task)
    del runs[run]
    images = clock.entries * run.recipe.batch_size
    with run.turn():
        run.keep_best()
        train, validation = (
            run.measure(split).tolist() if len(split) else [math.nan, math.nan]
            for split in (run.data.train, run.data.validation)
        )
        weights = {name: value.cpu().contiguous() for name, value in run.best.items()}
    return Fitted(
        weights=weights,
        progress=run.progress,
        train=(train[0], train[1]),
        validation=(validation[0], validation[1]),
        images_per_second=images / clock.seconds if images else 0.0,
    )


@contextmanager
def _private_randomness(device: torch.device) -> Iterator[None]:
    """Restores the global random stream afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class _Clock:
    """Adds up the wall time of its ``with`` blocks, in seconds, and counts them."""

    def __init__(self) -> None:
        self.seconds, self.entries, self._start = 0.0, 0, 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start
        self.entries += 1
