"""What a training asks of PyTorch's optimizers beyond their own interface, and what follows their
steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cifar_tricks.training.images import Batches


def linear(done: float) -> float:
    """Factor on a learning rate that falls to zero in a straight line, in (0, 1].

    Args:
        done: fraction of all steps done, in [0, 1).
    """
    return 1 - done


def leave_compiler_out() -> None:
    """Spares a process the import of torch.compile, a third of a training's start-up.

    These methods import it when first called, only to have themselves marked as not to be compiled.
    Nothing here is compiled. The methods behind the marks are PyTorch's own.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        setattr(Optimizer, name, inspect.unwrap(getattr(Optimizer, name)))


def bare_step(optimizer: Optimizer) -> Callable[[], None]:
    """The optimizer's step without its wrapper, which imports torch.compile too (see above) and
    calls hooks for profilers; what it does else, here the caller does: switch gradients off."""
    step = inspect.unwrap(type(optimizer).step)
    return lambda: step(optimizer)


def can_replay(optimizer: Optimizer, images: Batches) -> bool:
    """Whether a step needs nothing from the host: the images lie on the device, and the optimizer
    reads its learning rate from a tensor, as these do where they are fused. So does Adagrad, but
    not on a GPU (PyTorch 2.11)."""
    fused = isinstance(optimizer, torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW)
    return images.is_resident and fused


def make_replayable(optimizer: Optimizer, device: torch.device) -> None:
    """Keeps the optimizer's learning rate and step counter on the device.

    To be called before its first step, and only where :func:`can_replay`.
    """
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
        group["fused"], group["foreach"] = True, False
        if "capturable" in group:
            group["capturable"] = True


def set_learning_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """One for each group of parameters; where they are tensors, in place."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_optimizer(optimizer: Optimizer, state: dict[str, Any], device: torch.device) -> None:
    """Takes up a state that was read to the CPU; PyTorch moves all of it but learning rates."""
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].to(device)


class SlowWeights:
    """A second set of weights that follows a net's more slowly and takes their place now and then.

    Args:
        net: on its device, with its first weights; batch norms' running values count as weights.
        share: see ``slow_weights`` of :class:`~cifar_tricks.training.recipe.Slots`; None: there are
            none, and nothing is ever done.
    """

    def __init__(self, net: nn.Module, share: Callable[[int, int], float | None] | None) -> None:
        self.share = share
        state = net.state_dict().values() if share else ()
        self.fast = [value for value in state if value.is_floating_point()]
        self.values: list[Tensor] = [value.clone() for value in self.fast]

    def after_step(self, done: int, total: int) -> None:
        """What the host decides after each step; no part of the recorded one."""
        share = self.share(done, total) if self.share else None
        if share is not None:
            torch._foreach_lerp_(self.values, self.fast, share)
            torch._foreach_copy_(self.fast, self.values)

    def restore(self, values: list[Tensor]) -> None:
        """Goes on from saved ones."""
        for value, saved in zip(self.values, values, strict=True):
            value.copy_(saved)
