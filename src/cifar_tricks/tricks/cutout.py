"""A square of every image is covered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# About the mean of CIFAR-10's pixel values: what the source's zeros are before normalisation.
GREY = 122


class Cutout(Trick):
    """Covers a grey square at a random place of each image in a batch. Its centre may be any pixel,
    so a part of it may lie outside.

    Source: DeVries & Taylor (2017), Improved regularization of convolutional neural networks with
    cutout.
    """

    size: int = Field(12, ge=1, le=32, description="of the square, in pixels")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with the square as its last batch transform."""
        transform = Call(f"{__name__}.cover", {"size": self.size})
        return replace(recipe, batch_transforms=(*recipe.batch_transforms, transform))


def cover(
    images: Tensor, labels: Tensor, *, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The batch transform.

    Args:
        images: uint8 (B, 3, H, W).
        labels: (B,); they stay as they are.
        size: of the square, in pixels.
        generator: on the device of the images.
    """
    import torch

    inside = []
    for length in images.shape[2:]:
        place = torch.randint(length, (len(images), 1), generator=generator, device=images.device)
        distance = torch.arange(length, device=images.device) - place + size // 2
        inside.append((distance >= 0) & (distance < size))
    covered = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(covered, GREY), labels
