"""Images that are moved by a few pixels, without black borders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Translate(Trick):
    """Moves each image of a batch at random; what comes in at the border is its mirror image.

    Source: He et al. (2016), Deep residual learning for image recognition, section 4.2; with a
    reflected border as in Zagoruyko & Komodakis (2016), Wide residual networks, section 3.
    """

    pixels: int = Field(2, ge=1, le=31, description="at most so far in each direction")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with these moves as its last batch transform."""
        transform = Call(f"{__name__}.move", {"pixels": self.pixels})
        return replace(recipe, batch_transforms=(*recipe.batch_transforms, transform))


def move(
    images: Tensor, labels: Tensor, *, pixels: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The batch transform.

    Args:
        images: (B, 3, H, W), any type; fastest where channels lie innermost in memory.
        labels: (B,); they stay as they are.
        pixels: less than H and W.
        generator: on the device of the images.
    """
    import torch

    from cifar_tricks.training.augmentation import take

    def places(shifts: Tensor, length: int) -> Tensor:
        moved = (shifts + torch.arange(length, device=shifts.device)).abs()
        return torch.where(moved < length, moved, 2 * (length - 1) - moved)

    shape = (2, len(images), 1)
    shifts = torch.randint(2 * pixels + 1, shape, generator=generator, device=images.device)
    shifts -= pixels
    rows, columns = places(shifts[0], images.shape[2]), places(shifts[1], images.shape[3])
    return take(images, rows, columns), labels
