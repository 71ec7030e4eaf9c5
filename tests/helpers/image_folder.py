"""Image folders of a user's own: train/<class>/* and test/<class>/*."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def colour_of(label: int, number_of: int) -> tuple[int, int, int]:
    """Far from that of the other classes."""
    red, green, blue = colorsys.hsv_to_rgb(label / number_of, 0.9, 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def picture(colour: tuple[int, int, int], seed: int, size: tuple[int, int]) -> Image.Image:
    """Of one colour, under a little noise."""
    noise = np.random.default_rng(seed).integers(-9, 10, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def write_image_folder(
    root: Path,
    classes: Sequence[str] = ("cat", "dog", "owl"),
    *,
    train: int = 4,
    test: int = 2,
    size: tuple[int, int] = (40, 36),
) -> Path:
    """A folder with so many images of each class; all have the same names in each class."""
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(sorted(classes)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                seed = 100_000 * label + 2 * number + (split == "test")
                image = picture(colour_of(label, len(classes)), seed, size)
                image.save(folder / f"{number}.png")
    return root
