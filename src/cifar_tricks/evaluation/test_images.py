"""The test images: read here and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cifar_tricks.base.arrays import Arrays, read_arrays, write_arrays
from cifar_tricks.evaluation.score import Score
from cifar_tricks.parameters.schema import Params
from cifar_tricks.training.images import Images

TEST_FILE = "data/cifar10/test.safetensors"


def read_test_images(params: Params, device: torch.device) -> Images:
    """The test images that are used, on the device."""
    arrays = _test_arrays(params)
    return Images.from_arrays(arrays, torch.arange(len(arrays["labels"])), device)


def _test_arrays(params: Params) -> Arrays:
    """The first ``test_images`` of the test file."""
    arrays, count = read_arrays(TEST_FILE), params.scales[params.scale].test_images
    first = {name: array[:count] for name, array in arrays.arrays.items()}
    return Arrays(arrays=first, sha256=arrays.sha256)


def test_labels(params: Params) -> np.ndarray:
    """Labels int64 (N,) of the test images that are used, in the official order."""
    return _test_arrays(params)["labels"]


def write_examples(path: Path, params: Params, score: Score, *, count: int = 4) -> None:
    """Writes the first test images that a net got right and wrong, to show what it looked at.

    Args:
        path: of a safetensors file with ``images`` uint8 (N, 3, 32, 32), ``labels``, ``predicted``
            and ``index`` int64 (N,), the place in the test file; the right ones first.
        params: the checked parameters.
        score: of the net.
        count: how many right and how many wrong images, where there are so many.
    """
    test = _test_arrays(params)
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
