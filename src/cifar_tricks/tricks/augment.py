"""Data augmentation as the original report did it: the training split, doubled once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from cifar_tricks.tricks import Recipe, Trick

if TYPE_CHECKING:
    from cifar_tricks.base.arrays import Arrays

# Bounds the memory of a step; the copies depend on it, since each step draws from one stream.
CHUNK = 5_000


class Augment(Trick):
    """Adds one randomly cropped and flipped copy of every training image, the same in each epoch.

    The stage ``augment`` writes the copies. A run uses those of its own training split only: the
    report drew its validation images from the doubled set, so its validation accuracies leak.

    Source: the original report, task 3b; crops and flips as in He et al. (2016), section 4.2.
    """

    padding: int = Field(4, ge=0, le=32, description="black border before the crop, in pixels")
    flip_probability: float = Field(0.5, ge=0, le=1, description="of a left-right flip")
    seed: int = Field(0, ge=0, lt=2**63, description="of the crops and flips of the copies")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe that trains on the split and its copies."""
        return replace(recipe, copies=True)


def write_copies(arrays: Arrays, path: Path | str, augment: Augment) -> None:
    """Writes a cropped and flipped copy of every image, in order, with the same labels.

    It stands in the trick's file, so that a change of it retrains what trains with copies.

    Args:
        arrays: ``images`` uint8 N x 3 x 32 x 32 and ``labels`` int64 N.
        path: the file to write.
        augment: padding, flip probability and seed.
    """
    # Here, because params.yaml is checked without PyTorch.
    import numpy as np
    import torch

    from cifar_tricks.base.arrays import write_arrays
    from cifar_tricks.training.augmentation import crop_and_flip
    from cifar_tricks.training.randomness import make_generator

    images, labels = arrays["images"], arrays["labels"]
    generator = make_generator(augment.seed, "copies")
    copies = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(images[start : start + CHUNK])
        copies[start : start + CHUNK] = crop_and_flip(
            chunk,
            padding=augment.padding,
            flip_probability=augment.flip_probability,
            generator=generator,
        ).numpy()
    write_arrays(path, {"images": copies, "labels": labels})
