"""Shared fixtures: a small synthetic data set on which a net can learn something."""

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cifar_tricks.base.arrays import Arrays, content_hash, write_arrays
from cifar_tricks.training.call import Call
from cifar_tricks.training.recipe import NetSpec, Recipe

pytest_plugins = ["fault_table"]

ROOT = Path(__file__).resolve().parent.parent
# `python` and `dvc` in the commands that tests start are those of this environment, and a make that
# a test starts is not that of `make test`.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(name, None)
CPU = torch.device("cpu")


def one_line_lists(text: str) -> str:
    """YAML with every list of scalars in one line, ``seeds: [0]``, so that a test can edit it."""
    block_list = r"^( *)(\w+):((?:\n\1- \S+)+)$"
    return re.sub(
        block_list,
        lambda m: f"{m[1]}{m[2]}: [{', '.join(re.findall(r'- (.+)', m[3]))}]",
        text,
        flags=re.MULTILINE,
    )


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


def make_recipe(**changes: object) -> Recipe:
    """A tiny net trained for moments."""
    values: dict[str, object] = {
        "net": NetSpec(filters=(8, 8), kernel_size=3, stride=1, padding=1, pool=4, hidden=(16,)),
        "optimizer": Call("torch.optim.SGD", {"lr": 0.05}),
        "batch_size": 16,
        "num_epochs": 3,
        "validations_per_epoch": 2,
        "early_stop_count": 4,
        "train_images": 192,
        "validation_images": 64,
        "precision": "fp32",
        "threads": 1,
    }
    return Recipe(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True, scope="session")
def signals_end() -> None:
    """Started by nohup, this process ignores SIGHUP, in a script's background SIGINT, and so would
    all that the tests start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Rounding, and so golden values, must not depend on the machine's cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    """300 labelled images."""
    return make_images(300)


def write_data(folder: Path, *, train: int = 300, test: int = 60) -> None:
    """Synthetic data files in the places where the pipeline looks for them."""
    write_arrays(folder / "data/cifar10/train.safetensors", make_images(train).arrays)
    write_arrays(folder / "data/cifar10/test.safetensors", make_images(test, seed=1).arrays)
