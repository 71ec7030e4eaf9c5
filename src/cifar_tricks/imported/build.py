"""A net of the user's with its initial weights, and tricks that replace layers by their class.

Source: the module surgery of MosaicML's Composer, as an idea.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.training.call import Call
from cifar_tricks.training.randomness import derive_seed, make_generator

# No sigmoids: they are gates as often as activations.
ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardswish,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.RReLU,
    nn.SELU,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
WEIGHTED = (nn.Conv2d, nn.Linear)


def build(spec: ImportedSpec, *, seed: int) -> nn.Module:
    """The net in training mode, on the CPU.

    Args:
        spec: the net.
        seed: of the initial weights: whatever the user's code draws from PyTorch, NumPy or
            ``random`` follows from it, so that the same layers begin alike with every trick.

    Raises:
        Exception: whatever the user's code raises; never after
            :func:`cifar_tricks.imported.check.left_out`.
    """
    net = make_bare(spec, seed=seed)
    operate(net, spec, seed=seed)
    return net


def make_bare(spec: ImportedSpec, *, seed: int) -> nn.Module:
    """The net as the user's code makes it."""
    with seeded(seed):
        net: nn.Module = import_target(spec)(**spec.arguments)
    if isinstance(net, nn.Module):
        net.register_forward_pre_hook(_lay_out)
        net.train()
    return net


def import_target(spec: ImportedSpec) -> Callable[..., Any]:
    """The class or function that makes the net; the checkout's root is searched last."""
    root, writes = str(Path.cwd()), sys.dont_write_bytecode
    if root not in sys.path:
        sys.path.append(root)
    # Python would take bytecode for new after an edit within a second.
    sys.dont_write_bytecode = True
    try:
        return Call(spec.target).resolve()
    finally:
        sys.dont_write_bytecode = writes


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every common source of random numbers begins with the seed, and afterwards is as before."""
    number, python, numpy = derive_seed(seed, "init"), random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _lay_out(net: nn.Module, images: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The usual layout in memory, which ``view`` needs behind a convolution."""
    return (images[0].contiguous(), *images[1:])


def operate(net: nn.Module, spec: ImportedSpec, *, seed: int) -> list[str]:
    """Puts into the net what tricks filled the spec's slots with.

    Args:
        net: is changed.
        spec: what it is to become.
        seed: of the weights of ``weight_init``.

    Returns:
        What the net would have to have, and has not.
    """
    lacks, scale = [], spec.logit_scale
    if scale != 1:
        net.register_forward_hook(lambda module, images, logits: logits * scale)
    activation, norm, dropout = spec.activation, spec.norm_2d, spec.dropout
    if activation and not _replace(net, ACTIVATIONS, lambda old: activation()):
        lacks.append("no activation layer to replace (calls of functions are none)")
    if norm and not _replace(net, NORMS, lambda old: _norm(norm, old)):
        lacks.append("no norm layer of another kind to replace")
    if dropout and not _replace(net, DROPOUTS, lambda old: dropout()):
        lacks.append("no dropout layer to replace")
    if spec.weight_init is not None and not _initialise(net, spec.weight_init, seed):
        lacks.append("no convolution or linear layer to initialise")
    return lacks


def _norm(norm: Call, old: nn.Module) -> nn.Module:
    """A new norm for the channels of another one, or that one where it is of this kind."""
    channels = old.num_channels if isinstance(old, nn.GroupNorm) else old.num_features
    new: nn.Module = norm(channels)
    return old if isinstance(old, type(new)) else new


def _replace(
    net: nn.Module, kinds: tuple[type[nn.Module], ...], make: Callable[[nn.Module], nn.Module]
) -> int:
    """Replaces layers by their class, one that stands in several places by one; counts them."""
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(net.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, kinds):
                if child not in made:
                    made[child] = make(child)
                setattr(parent, name, made[child])
    return sum(repr(new) != repr(old) for old, new in made.items())


def _initialise(net: nn.Module, weight_init: Call, seed: int) -> int:
    """Fills weights, each from a random stream named after it; counts them."""
    count = 0
    for name, module in net.named_modules():
        if isinstance(module, WEIGHTED) and isinstance(module.weight, nn.Parameter):
            weight_init(module.weight, generator=make_generator(seed, f"init {name}.weight"))
            count += 1
    return count
