"""What is to be trained: a variant with its data, its device and its code."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, restored
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant
from cifar_tricks.runs.ahead import code_hash, find_variant
from cifar_tricks.runs.checks import check_dataset
from cifar_tricks.training.backbones import weights_file
from cifar_tricks.training.call import as_json
from cifar_tricks.training.device import choose_device, device_name, prepare
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE

SMALL_FILES_BYTES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Training:
    """A variant with all that determines how its seeds end.

    Args:
        scale: of params.yaml.
        variant: what to train.
        device: where.
        arrays: the training file.
        copies: its copies, where the recipe uses them.
        backbone: weights from ImageNet, where the recipe starts from them.
        code: see :func:`cifar_tricks.runs.ahead.code_hash`.
        test_images: how many the nets are asked when they are trained.
        device_of_scale: the kind of device that its seeds have to come from; None for any.
    """

    scale: str
    variant: Variant
    device: torch.device
    arrays: Arrays
    copies: Arrays | None
    backbone: Arrays | None
    code: str
    test_images: int
    device_of_scale: str | None = None

    def accepts(self, device: str) -> bool:
        """Whether seeds of the scale may come from this kind of device."""
        return self.device_of_scale in (None, device)

    def data_hashes(self) -> dict[str, str]:
        """Content hashes of the files that the training reads."""
        files = {"train": self.arrays, "copies": self.copies, "backbone": self.backbone}
        return {name: arrays.sha256 for name, arrays in files.items() if arrays is not None}

    def identity(self, seed: int) -> dict[str, Any]:
        """What must agree for the saved state of a seed to be taken up again."""
        return {
            "recipe": as_json(self.variant.recipe),
            "seed": seed,
            "device": device_name(self.device),
            "torch": torch.__version__,
            "data": self.data_hashes(),
            "code": self.code,
        }


def plan(params: Params, key: str, scale: str | None = None) -> Training:
    """The training of a variant, ready to begin.

    Args:
        params: the checked parameters.
        key: as for :func:`cifar_tricks.runs.train.train_variant`.
        scale: a key of ``scales``; the chosen one where None.

    Raises:
        UserError: no such variant or one that is left out, no backbone, missing or damaged data or
            those of another data set, or no such device.
    """
    scale = scale or params.scale
    check_dataset(params, scale)
    variant = find_variant(params, key, scale)
    if reason := variant.left_out:
        raise UserError(f"{variant.key} is left out: {reason}")
    device = choose_device(params.device)
    prepare(device, threads=variant.recipe.threads, precision=variant.recipe.precision)
    backbone = None
    if variant.backbone:
        file = weights_file(variant.backbone)
        backbone = read_arrays(file, remedy=restored(file.parent))
    size = params.scales[scale]
    return Training(
        scale=scale,
        variant=variant,
        device=device,
        arrays=_images(TRAIN_FILE),
        copies=_images(COPIES_FILE) if variant.recipe.copies else None,
        backbone=backbone,
        code=code_hash(variant.recipe),
        test_images=size.test_images,
        device_of_scale=size.device,
    )


def _images(path: str) -> Arrays:
    try:
        status = Path(path).stat()
    except OSError:
        return read_arrays(path)  # it tells what is wrong
    return _read_once(path, Path.cwd(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read_once(path: str, folder: Path, changed: int, size: int) -> Arrays:
    """A process that trains many variants reads and checks the images once."""
    return read_arrays(path)


def check_device(training: Training) -> None:
    """Whether the scale's seeds may be trained here.

    Raises:
        UserError: on another kind of device only.
    """
    wanted, here = training.device_of_scale, training.device.type
    if not training.accepts(here):
        raise UserError(
            f"params.yaml: scales.{training.scale}.device = {wanted}: {training.variant.key} would "
            f"be trained on {here} here; take another scale, or a machine and device of that kind"
        )


def check_room(training: Training, num_seeds: int) -> None:
    """Refuses to start where the disk cannot hold what will be written.

    Args:
        training: of a variant.
        num_seeds: how many of it are to be trained.

    Raises:
        UserError: it cannot.
    """
    net = build_net(training.variant.recipe.net, seed=0, device=torch.device("cpu"))
    values = sum(value.numel() for value in net.state_dict().values())
    # State: weights, best weights, two moments of Adam; it is replaced by a second copy. Then the
    # kept weights of every seed, twice until the variant is complete, and as much in DVC's cache.
    copies = 2 * 4 + 3 * num_seeds
    needed = 4 * values * copies + SMALL_FILES_BYTES
    free = shutil.disk_usage(project_root()).free
    if free < needed:
        raise UserError(
            f"{project_root().resolve()} has {free / 1e6:.0f} MB free; this variant needs "
            f"{needed} bytes ({needed / 1e6:.0f} MB)"
        )
