"""Convolutions that start by passing their input through."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cifar_tricks.tricks import Call, Recipe, Trick

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Dirac(Trick):
    """The first filters of each convolution, as many as it has input channels, start as the
    identity; all other weights keep PyTorch's default.

    Source: Zagoruyko & Komodakis (2017), DiracNets; Jordan (2024), 94% on CIFAR-10 in 3.29 seconds
    on a single GPU, section 3.3.
    """

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this initialization."""
        weight_init = Call(f"{__name__}.partial_identity")
        return replace(recipe, net=replace(recipe.net, weight_init=weight_init))


def partial_identity(weight: Tensor, *, generator: torch.Generator) -> None:
    """Fills a weight in place.

    Args:
        weight: of a convolution (filters, channels, height, width), or of a linear layer
            (units, inputs), which keeps the default.
        generator: of the default's random numbers.
    """
    from torch import nn

    bound = weight[0].numel() ** -0.5
    nn.init.uniform_(weight, -bound, bound, generator=generator)
    if weight.ndim == 4:
        nn.init.dirac_(weight[: weight.shape[1]])
