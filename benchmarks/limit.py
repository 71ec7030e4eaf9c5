"""The limit: the same step on a batch that is already in place, with the best of all switches.

Nothing is fetched, transformed, counted or read back: forward pass, loss, backward pass and
optimizer, on the same random batch again and again; on a GPU recorded and replayed. What is left to
gain beside it is the libraries' own business. torch.compile stands by itself: it needs a C++
compiler on the machine.
"""

import itertools
import time
from collections.abc import Callable

import torch
from gpu_measure import wait
from torch import Tensor, nn
from torch.nn import functional as F
from usual import plain_layers

from cifar_tricks.training import optimizers
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.predicting import autocast
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.streams import open_stream
from cifar_tricks.training.trainer import STEPS_BEFORE_RECORDING

# Four steps of a GPU are a millisecond.
TRIAL_STEPS, TRIAL_STEPS_OF_GPU = 4, 300


def fastest_step(
    recipe: Recipe, device: torch.device, *, compiled: bool
) -> tuple[Callable[[], None], str]:
    """The fastest of all ways to do the step, and its name.

    Args:
        recipe: net, optimizer, batch size and precision.
        device: where.
        compiled: whether torch.compile is used, on every way.
    """
    ways: dict[str, Callable[[], None]] = {}
    # Compiling takes long, and channels last have been as fast or faster wherever it pays.
    layouts = ("last",) if compiled else ("last", "first")
    for first, layout in itertools.product(("pooling", "activation"), layouts):
        spec = recipe.net
        if first == "activation":
            net = nn.Sequential(*plain_layers(spec))
        else:
            net = build_net(spec, seed=0, device=torch.device("cpu"))
        ways[f"{first} first, channels {layout}"] = _step(
            recipe, net.to(device), device, last=layout == "last", compiled=compiled
        )
    times = {name: _time(step, device) for name, step in ways.items()}
    best = min(times, key=times.__getitem__)
    return ways[best], best


def limit_of_tail(recipe: Recipe, net: nn.Module, features: Tensor) -> Callable[[], None]:
    """The step behind a frozen trunk: features (B, C, H, W) in place."""
    return _around(recipe, net, features)


def _step(
    recipe: Recipe, net: nn.Module, device: torch.device, *, last: bool, compiled: bool
) -> Callable[[], None]:
    form = torch.channels_last if last else torch.contiguous_format
    net = net.to(memory_format=form)
    images = torch.randn(recipe.batch_size, 3, 32, 32, device=device).to(memory_format=form)
    return _around(recipe, torch.compile(net) if compiled else net, images)


def _around(recipe: Recipe, net: nn.Module, inputs: Tensor) -> Callable[[], None]:
    labels = torch.randint(10, (len(inputs),), device=inputs.device)
    optimizer = recipe.optimizer([p for p in net.parameters() if p.requires_grad])
    replays = inputs.device.type == "cuda"
    if replays:
        optimizers.make_replayable(optimizer, inputs.device)

    def step() -> None:
        with autocast(inputs.device, recipe.precision):
            logits = net(inputs)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return _recorded(step, inputs.device) if replays else step


def _recorded(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    stream = open_stream(device)
    with stream:
        for _ in range(STEPS_BEFORE_RECORDING):
            step()
        replay = stream.record(step, [])

    def again() -> None:
        with stream:
            (replay or step)()

    return again


def _time(step: Callable[[], None], device: torch.device) -> float:
    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait(device)
        return time.perf_counter() - start

    run(2)
    return run(TRIAL_STEPS if device.type == "cpu" else TRIAL_STEPS_OF_GPU)
