"""Handwritten digits that come with scikit-learn: 1,797 gray images of 8 x 8 pixels.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cifar_tricks.data.assets import Asset, Installed, Source
from cifar_tricks.datasets.catalogue import DIGITS
from cifar_tricks.datasets.ways import Splits, Way

GIVEN_SIZE, BRIGHTEST = 8, 16
TIMES, BORDER = 3, 2
FILE = Asset(
    name="digits",
    sources=(
        Source(
            file_name="digits.csv.gz",
            sha256="09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
            num_bytes=57_523,
            via=Installed(package="sklearn", path="datasets/data/digits.csv.gz"),
        ),
    ),
)


def _decode(paths: Sequence[Path]) -> Splits:
    table = np.loadtxt(paths[0], delimiter=",")
    gray = (table[:, :-1] * (255 / BRIGHTEST)).round().astype(np.uint8)
    gray = gray.reshape(-1, GIVEN_SIZE, GIVEN_SIZE).repeat(TIMES, axis=1).repeat(TIMES, axis=2)
    gray = np.pad(gray, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    images, labels = np.repeat(gray[:, None], 3, axis=1), table[:, -1].astype(np.int64)
    rows = {"train": slice(DIGITS.train_images), "test": slice(DIGITS.train_images, None)}
    return {name: {"images": images[part], "labels": labels[part]} for name, part in rows.items()}


WAYS = (Way(assets=(FILE,), decode=_decode),)
