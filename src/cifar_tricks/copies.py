"""The doubled training set of the original report: one augmented copy of each training image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cifar_tricks.arrays import Arrays, write_arrays
from cifar_tricks.augmentation import crop_and_flip
from cifar_tricks.randomness import make_generator
from cifar_tricks.tricks.augment import Augment

# Bounds the memory of a step; the copies depend on it, since each step draws from one stream.
CHUNK = 5_000


def write_copies(arrays: Arrays, path: Path | str, augment: Augment) -> None:
    """Writes a cropped and flipped copy of every image, in order, with the same labels.

    Args:
        arrays: ``images`` uint8 N x 3 x 32 x 32 and ``labels`` int64 N.
        path: the file to write.
        augment: padding, flip probability and seed.
    """
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
