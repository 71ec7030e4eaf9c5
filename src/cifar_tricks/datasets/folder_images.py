"""The images of a folder, made one size."""

from __future__ import annotations

import hashlib
import os
import sys
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from cifar_tricks.data.photo import crop_square, read_photo
from cifar_tricks.data.transport import say
from cifar_tricks.datasets.catalogue import FOLDER_IMAGE_SIZE
from cifar_tricks.datasets.folder import Listing

# A JPEG is decoded at a fraction of its size, as long as that many times the pixels are left.
SPARE = 8
# So many images are asked for at a time, of as many threads at most: decoders free the lock.
CHUNK, THREADS = 1000, 8


def read_images(listing: Listing) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Decodes all images: of each the largest centred square, made FOLDER_IMAGE_SIZE pixels wide.

    Any format, size and colour that :func:`cifar_tricks.data.photo.read_photo` knows. The order of
    a split's images is a fixed shuffle that depends on their names alone: the first of them are a
    sample of all classes.

    Returns:
        Both splits (``images`` uint8 (N, 3, size, size), ``labels`` int64 (N,)), and what a reader
        has to know of them.

    Raises:
        UserError: a file cannot be read or is no image.
    """
    total = sum(map(len, listing.files.values()))
    say(f"reading {total:,} images of {listing.root}")
    splits, sizes = {}, set()
    with (
        ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool,
        tqdm(total=total, unit=" images", leave=False, disable=not sys.stderr.isatty()) as bar,
    ):
        for split in listing.files:
            files = shuffled(listing, split)
            shape = (len(files), 3, FOLDER_IMAGE_SIZE, FOLDER_IMAGE_SIZE)
            images = np.empty(shape, dtype=np.uint8)
            for first in range(0, len(files), CHUNK):
                paths = [listing.root / name for name, _ in files[first : first + CHUNK]]
                for row, (image, size) in enumerate(pool.map(read_image, paths), first):
                    images[row] = image
                    sizes.add(size)
                bar.update(len(paths))
            labels = np.array([label for _, label in files], dtype=np.int64)
            splits[split] = {"images": images, "labels": labels}
    return splits, (*listing.notes, *_notes(sizes, splits))


def shuffled(listing: Listing, split: str) -> list[tuple[str, int]]:
    """The files of a split with their labels, in the order of the hashes of their names."""

    def place(file: tuple[str, int]) -> tuple[bytes, bytes]:
        name = Path(file[0]).relative_to(split).as_posix()
        # Another system may write the same letters in another way.
        same = unicodedata.normalize("NFC", name)
        return hashlib.sha256(os.fsencode(same)).digest(), os.fsencode(name)

    return sorted(listing.files[split], key=place)


def read_image(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """The image as (3, size, size), and the size that it has in its file."""
    picture = read_photo(path, min_side=SPARE * FOLDER_IMAGE_SIZE)
    with Image.open(path) as header:
        return crop_square(picture, FOLDER_IMAGE_SIZE).transpose(2, 0, 1), header.size


def _notes(sizes: set[tuple[int, int]], splits: dict[str, dict[str, Any]]) -> Iterator[str]:
    if sizes != {(FOLDER_IMAGE_SIZE, FOLDER_IMAGE_SIZE)}:
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        ends = dict.fromkeys(f"{width} x {height}" for width, height in (by_area[0], by_area[-1]))
        made = f"resized to {FOLDER_IMAGE_SIZE} x {FOLDER_IMAGE_SIZE}"
        yield f"The middle square of each image ({' to '.join(ends)} pixels) was {made}."
    train, test = (
        [hashlib.sha256(image.tobytes()).digest() for image in splits[split]["images"]]
        for split in ("train", "test")
    )
    seen = set(train)
    if both := sum(image in seen for image in test):
        are = "is a training image" if both == 1 else "are training images"
        yield f"Of {len(test):,} test images {both:,} {are} as well, pixel by pixel."
