"""The test images: read here and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cifar_tricks.base.arrays import Arrays, read_arrays, write_arrays
from cifar_tricks.evaluation.score import Score
from cifar_tricks.training.images import Images

TEST_FILE = "data/dataset/test.safetensors"


def read_test_images(count: int, device: torch.device) -> Images:
    """The first ``count`` test images, on the device."""
    arrays = _test_arrays(count)
    return Images.from_arrays(arrays, torch.arange(len(arrays["labels"])), device)


def _test_arrays(count: int) -> Arrays:
    arrays = read_arrays(TEST_FILE)
    first = {name: array[:count] for name, array in arrays.arrays.items()}
    return Arrays(arrays=first, sha256=arrays.sha256)


def test_labels(count: int) -> np.ndarray:
    """Labels int64 (N,) of the first ``count`` test images, in the official order."""
    return _test_arrays(count)["labels"]


def write_examples(path: Path, score: Score, *, count: int = 4) -> None:
    """Writes the first test images that a net got right and wrong, to show what it looked at.

    Args:
        path: of a safetensors file with ``images`` uint8 (N, 3, H, W), ``labels``, ``predicted``
            and ``index`` int64 (N,), the place in the test file; the right ones first.
        score: of the net.
        count: how many right and how many wrong images, where there are so many.
    """
    test = _test_arrays(len(score.predictions))
    right = score.predictions == test["labels"]
    index = np.concatenate([np.flatnonzero(right)[:count], np.flatnonzero(~right)[:count]])
    write_arrays(
        path,
        {
            "images": test["images"][index],
            "labels": test["labels"][index],
            "predicted": score.predictions[index].astype(np.int64),
            "index": index.astype(np.int64),
        },
    )
