"""Whether a device trains to the same bytes in every way that is meant to give them.

For every trick: its steps recorded or not, its seeds alone and side by side, again, and resumed.
And whether gradients are those of a CPU, which finds wrong kernels.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_measure import ROOT, random_images
from torch.nn import functional as F

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import Interrupted
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.call import Call
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.loop import Fitted, Task, fit
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.recipe import NetSpec, Recipe
from cifar_tricks.training.streams import open_stream
from cifar_tricks.tricks import load_trick, trick_names

TINY = NetSpec(filters=(8, 8), kernel_size=3, stride=1, padding=1, pool=4, hidden=(16,))
WAYS = ("graphs", "alone", "again", "resumed")
NETS = ("model1-baseline", "model2-baseline", "improve-best", "improve-further", "improve-record")
STOP = 7  # the step after which a training is interrupted: recorded already
# Of a gradient in fp32, relative: sums in another order differ by less, wrong kernels by more.
LARGEST_DISTANCE = 1e-2


def recipes(device: torch.device) -> dict[str, Recipe]:
    """Every trick on a small training, some at once, and precisions; on a GPU with real nets."""
    params = load_params(ROOT / "params.yaml")
    base = variants(params, "full")["model1-baseline"].recipe
    assert isinstance(base, Recipe)
    base = replace(base, train_images=192, validation_images=64, num_epochs=3, batch_size=16)
    base = replace(base, precision="fp32")
    if device.type == "cpu":
        base = replace(base, net=TINY, num_epochs=1)
    momentum = Call("torch.optim.SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3})
    found = with_each_trick(base) | {"momentum and decay": replace(base, optimizer=momentum)}
    record = variants(params, "full")["improve-record"].recipe
    assert isinstance(record, Recipe)
    record = replace(record, train_images=192, validation_images=64, num_epochs=3, batch_size=16)
    if device.type == "cpu":
        small = replace(record.net, filters=(8,) * len(record.net.filters))
        record = replace(record, net=small, num_epochs=1)
    found["improve-record"] = replace(record, precision="fp32")
    found |= {f"{name}, bf16": replace(found[name], precision="bf16") for name in found}
    if device.type == "cuda":
        found["baseline, tf32"] = replace(base, precision="tf32")
    return found


def with_each_trick(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe with each trick, and with some at once."""
    several = recipe
    for name in ("augment_online", "dropout", "adam", "batch_norm"):
        several = load_trick(name)().apply(several)
    return {
        **{name: load_trick(name)().apply(recipe) for name in trick_names()},
        "several": several,
    }


def train(
    recipe: Recipe,
    arrays: Arrays,
    seeds: tuple[int, ...],
    device: torch.device,
    *,
    graphs: bool = True,
    folder: Path | None = None,
    **watched: Any,
) -> dict[int, Fitted]:
    """Trains seeds side by side."""
    copies = arrays if recipe.copies else None
    tasks = [
        Task(
            seed=seed,
            data=make_training_data(arrays, copies, recipe, seed=seed, device=device),
            checkpoint=Checkpoint(path=folder / f"{seed}.safetensors") if folder else None,
        )
        for seed in seeds
    ]
    stream: Callable[..., Any] = partial(open_stream, graphs=graphs)
    fitted = fit(recipe, tasks, device=device, open_stream=stream, **watched)
    return {task.seed: result for task, result in fitted}


def same(first: Fitted, second: Fitted) -> bool:
    """Whether all of two trainings is equal but their time."""
    return (
        first.progress == second.progress
        and (first.train, first.validation) == (second.train, second.validation)
        and all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())
    )


def compare(recipe: Recipe, arrays: Arrays, device: torch.device) -> dict[str, bool]:
    """By way, whether it gives the bytes of seeds 0 and 1 side by side, recorded."""
    together = train(recipe, arrays, (0, 1), device)
    stepwise = train(recipe, arrays, (0, 1), device, graphs=False)
    again = train(recipe, arrays, (0, 1), device)
    done: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            train(
                recipe, arrays, (0, 1), device, folder=folder,
                on_step=lambda _, progress: done.append(progress.step),
                should_stop=lambda: done[-1] >= STOP,
            )  # fmt: skip
        except Interrupted:
            resumed = train(recipe, arrays, (0, 1), device, folder=folder)
    return {
        "graphs": all(same(together[seed], stepwise[seed]) for seed in (0, 1)),
        "alone": same(together[1], train(recipe, arrays, (1,), device)[1]),
        "again": all(same(together[seed], again[seed]) for seed in (0, 1)),
        "resumed": all(same(together[seed], resumed[seed]) for seed in (0, 1)),
    }


def distance(key: str, device: torch.device) -> float:
    """Largest relative distance of a parameter's gradient from the CPU's, in fp32."""
    spec = variants(load_params(ROOT / "params.yaml"), "full")[key].recipe.net
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(16, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (16,), generator=generator)
    found = []
    for place in (torch.device("cpu"), device):
        net = build_net(spec, seed=0, device=place)
        there = images.to(place).to(memory_format=torch.channels_last)
        F.cross_entropy(net(there), labels.to(place)).backward()
        trained = [value for value in net.parameters() if value.requires_grad]
        found.append([value.grad.cpu().double() for value in trained])
    # A bias before a batch norm has no gradient but rounding: measured against the whole net's.
    scale = max(gradient.norm() for gradient in found[0]) * 1e-3
    pairs = zip(*found, strict=True)
    return max(((b - a).norm() / a.norm().clamp_min(scale)).item() for a, b in pairs)


def check(report: Any, device: torch.device) -> bool:
    """Writes what is equal and what is not; returns whether all is."""
    arrays, wrong, longest = random_images(300), [], 0.0
    known = recipes(device)
    for place, (name, recipe) in enumerate(known.items()):
        if not report.has_time(1.5 * longest):
            report.skip([*known][place:])
            break
        start = time.monotonic()
        try:
            verdict: dict[str, Any] = compare(recipe, arrays, device)
        except RuntimeError as error:  # the next trick may still tell something
            verdict = {"error": " ".join(str(error).split())[:500]}
        longest = max(longest, time.monotonic() - start)
        if not all(verdict.get(way) for way in WAYS):
            wrong.append(name)
        report.add(name, verdict | {"seconds": round(time.monotonic() - start, 2)})
    for key in NETS:
        if not report.has_time(5):
            report.skip([f"gradients of {key}"])
            break
        report.add(f"gradients of {key}", far := distance(key, device))
        if not far < LARGEST_DISTANCE:
            wrong.append(f"gradients of {key}")
    report.add("wrong", wrong)
    return not wrong
