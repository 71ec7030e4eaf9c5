"""Tiny trainings, and what must be equal of two."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from gpu_check import with_each_trick

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.training.call import Call
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.loop import Fitted, Task, fit
from cifar_tricks.training.recipe import NetSpec, Recipe
from cifar_tricks.training.streams import Stream

CPU = torch.device("cpu")


def make_recipe(**changes: object) -> Recipe:
    """A tiny net trained for moments."""
    values: dict[str, object] = {
        "net": NetSpec(filters=(8, 8), kernel_size=3, stride=1, padding=1, pool=4, hidden=(16,)),
        "optimizer": Call("torch.optim.SGD", {"lr": 0.05}),
        "batch_size": 16,
        "num_epochs": 3,
        "validations_per_epoch": 2,
        "early_stop_count": 4,
        "train_images": 192,
        "validation_images": 64,
        "precision": "fp32",
        "threads": 1,
    }
    return Recipe(**{**values, **changes})  # type: ignore[arg-type]


def all_tricks() -> dict[str, Recipe]:
    """The tiny recipe with each trick, and with some at once."""
    return with_each_trick(make_recipe())


def assert_same(first: Fitted, second: Fitted) -> None:
    assert first.progress == second.progress
    assert (first.train, first.validation) == (second.train, second.validation)
    for name, weights in first.weights.items():
        assert torch.equal(weights, second.weights[name])


def half(progress: float) -> float:
    return 1 - progress / 2


def freeze(progress: float) -> float:
    return 0.0


def smear(
    images: torch.Tensor, labels: torch.Tensor, *, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    return images, torch.nn.functional.one_hot(labels, 10) * 0.9 + 0.01


def all_recipes() -> dict[str, Recipe]:
    """All tricks, and what a recorded step could get wrong beyond them."""
    recipe = make_recipe()
    momentum = Call("torch.optim.SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3})
    return {
        **all_tricks(),
        "schedule": replace(recipe, schedule=Call("helpers.recipes.half")),
        "momentum": replace(recipe, optimizer=momentum, schedule=Call("helpers.recipes.half")),
        "bf16": replace(all_tricks()["several"], precision="bf16"),
    }


def train_all(
    recipe: Recipe,
    arrays: Arrays,
    seeds: tuple[int, ...],
    *,
    open_stream: Callable[[torch.device], Stream] = lambda device: Stream(),
    folder: Path | None = None,
    **arguments: object,
) -> dict[int, Fitted]:
    copies = arrays if recipe.copies else None
    tasks = [
        Task(
            seed=seed,
            data=make_training_data(arrays, copies, recipe, seed=seed, device=CPU),
            checkpoint=Checkpoint(path=folder / f"{seed}.safetensors") if folder else None,
        )
        for seed in seeds
    ]
    results = fit(recipe, tasks, device=CPU, open_stream=open_stream, **arguments)  # type: ignore[arg-type]
    return {task.seed: fitted for task, fitted in results}
