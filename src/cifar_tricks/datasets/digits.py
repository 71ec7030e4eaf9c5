"""Handwritten digits that come with scikit-learn: 1,797 gray images of 8 x 8 pixels.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cifar_tricks.datasets.catalogue import DIGITS

TIMES, BORDER = 3, 2
BRIGHTEST = 16
NOTES = (
    "Enlarged three times from 8 x 8 pixels, with a black border of two pixels around them.",
    "The first 1,297 images are for training, the last 500 are the test images.",
)


def digits() -> dict[str, dict[str, Any]]:
    """Both splits."""
    from sklearn.datasets import load_digits

    given = load_digits()
    gray = (given.images * (255 / BRIGHTEST)).round().astype(np.uint8)
    gray = gray.repeat(TIMES, axis=1).repeat(TIMES, axis=2)
    gray = np.pad(gray, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    images = np.repeat(gray[:, None], 3, axis=1)
    labels = given.target.astype(np.int64)
    rows = {"train": slice(DIGITS.train_images), "test": slice(DIGITS.train_images, None)}
    return {name: {"images": images[part], "labels": labels[part]} for name, part in rows.items()}
