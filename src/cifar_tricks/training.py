"""The only training loop. Read :func:`fit` first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_tricks.checkpoint import Checkpoint
from cifar_tricks.data import TrainingData
from cifar_tricks.errors import Interrupted
from cifar_tricks.randomness import derive_seed
from cifar_tricks.recipe import AnyRecipe
from cifar_tricks.trainer import Progress, Trainer

# A saved state costs about as much as a few steps; any step can be resumed from.
SECONDS_BETWEEN_CHECKPOINTS = 30.0


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A finished training.

    Args:
        weights: state dict with the lowest validation loss, on the CPU, contiguous.
        progress: steps, learning curves, best step.
        train: mean loss and accuracy of these weights over all training images.
        validation: the same over the validation images.
        images_per_second: training images over time in the loop, validation and start-up
            excluded; 0 where no step was left to do.
    """

    weights: dict[str, Tensor]
    progress: Progress
    train: tuple[float, float]
    validation: tuple[float, float]
    images_per_second: float


def fit(
    recipe: AnyRecipe,
    data: TrainingData,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    on_prepare: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fitted:
    """Trains one net with one seed.

    The same arguments on the same machine give the same bytes, also when the training was
    interrupted in between and taken up from its checkpoint.

    Args:
        recipe: what to train and how.
        data: the images of this seed, on ``device``.
        seed: every random number of the run derives from it.
        device: where the net lives.
        checkpoint: where the state is kept while the training runs; removed by the caller.
        on_prepare: called with images done and images in all while a frozen trunk's features are
            computed, before the first step.
        on_step: called after each step and its validation, if any.
        should_stop: asked after each step and between preparations; True saves the state and ends
            the training.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    clock = _Clock()
    with _private_randomness(device):
        run = Trainer(recipe, data, seed=seed, device=device)
        # Dropout layers draw from the global stream: PyTorch gives them no other.
        torch.manual_seed(derive_seed(seed, "layers"))
        if checkpoint and (state := checkpoint.load()):
            run.restore(state)
        progress = run.progress
        for done, total in run.data.prepare():
            on_prepare(done, total)
            if should_stop():
                raise Interrupted
        saved = time.monotonic()
        while not run.finished:
            with clock:
                run.train_step()
            if run.validation_is_due:
                run.validate()
            on_step(progress)
            stop = should_stop() and not run.finished
            if checkpoint and (stop or time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS):
                checkpoint.save(run.state())
                saved = time.monotonic()
            if stop:
                raise Interrupted
    run.keep_best()
    images = clock.entries * recipe.batch_size
    return Fitted(
        weights={name: value.cpu().contiguous() for name, value in run.best.items()},
        progress=progress,
        train=run.measure("train"),
        validation=run.measure("validation"),
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
