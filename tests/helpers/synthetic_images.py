"""Small data files on which a net can learn something."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cifar_tricks.base.arrays import Arrays, content_hash
from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.datasets.dataset import write_dataset


def make_images(count: int, *, seed: int = 0) -> Arrays:
    """Ten classes, told apart by colour and by where a bright square lies, under noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, count, dtype=np.int64)
    images = generator.normal(100, 30, (count, 3, 32, 32))
    for image, label in zip(images, labels, strict=True):
        row, column = 4 + 10 * (label % 3), 4 + 10 * (label // 4)
        image[label % 3, row : row + 6, column : column + 6] += 90
    arrays = {"images": images.clip(0, 255).astype(np.uint8), "labels": labels}
    return Arrays(arrays=arrays, sha256=content_hash(arrays))


def write_data(folder: Path, *, train: int = 300, test: int = 60) -> None:
    """Synthetic data files in the places where the pipeline looks for them."""
    splits = {"train": make_images(train).arrays, "test": make_images(test, seed=1).arrays}
    write_dataset(replace(CIFAR10, content=""), "cifar10", splits, folder / "data/dataset")
