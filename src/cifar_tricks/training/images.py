"""Images of a run: its split of the training file, its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.training.normalisation import Normalisation
from cifar_tricks.training.randomness import make_generator
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE, AnyRecipe


class Batches(Protocol):
    """What a net is trained and measured on: N inputs, with their labels int64 (N,)."""

    @property
    def labels(self) -> Tensor: ...

    @property
    def rows(self) -> Tensor:
        """What :meth:`batch` calls them, in their order: int64 (N,)."""
        ...

    @property
    def is_resident(self) -> bool:
        """Whether every batch is gathered on the device, without the host's help."""
        ...

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) and labels (B,) of these rows, int64 (B,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Images:
    """Labelled images in memory, on the device of the run.

    Args:
        pixels: uint8 (M, H, W, 3): channels innermost, as convolutions like them best.
        classes: their labels, int64 (M,).
        rows: which of them these images are, each at most once, int64 (N,).
        computed: what else was made of all M, for whoever shares them.
    """

    pixels: Tensor
    classes: Tensor
    rows: Tensor
    computed: dict[Any, Any] = field(default_factory=dict, compare=False)
    is_resident: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def own_pixels(self) -> Tensor:
        """uint8 (N, H, W, 3), in any order."""
        everything = len(self) == len(self.pixels)
        return self.pixels if everything else self.pixels.index_select(0, self.rows)

    @cached_property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return self.classes.index_select(0, self.rows)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 (B, 3, H, W) in channels_last memory format, and labels (B,)."""
        # A copy of each row; indexing in brackets takes twenty-five times as long.
        pixels = self.pixels.index_select(0, rows)
        return pixels.permute(0, 3, 1, 2), self.classes.index_select(0, rows)

    @classmethod
    def from_arrays(cls, arrays: Arrays, indices: Tensor, device: torch.device) -> Images:
        """The chosen rows of a file (``images`` N x 3 x H x W, ``labels`` N), on the device."""
        # There first: a GPU gathers them and turns them in a thousandth of a core's time.
        images, labels = (
            torch.from_numpy(arrays[name]).to(device)[indices.to(device)]
            for name in ("images", "labels")
        )
        pixels = images.permute(0, 2, 3, 1).contiguous()
        return cls(pixels=pixels, classes=labels, rows=torch.arange(len(labels), device=device))

    def __add__(self, other: Images) -> Images:
        """These images, the others behind them."""
        return Images(
            pixels=torch.cat([self.pixels, other.pixels]),
            classes=torch.cat([self.classes, other.classes]),
            rows=torch.cat([self.rows, other.rows + len(self.pixels)]),
        )

    def take(self, indices: Tensor) -> Images:
        """Some of them, by their places; the pixels are shared."""
        rows = self.rows.index_select(0, indices.to(self.rows.device))
        return replace(self, rows=rows)


# By file, device and the hash of the copies behind the images.
WholeFiles = WeakKeyDictionary[Arrays, dict[tuple[torch.device, str | None], Images]]
_whole_files: WholeFiles = WeakKeyDictionary()


def whole_file(arrays: Arrays, copies: Arrays | None, device: torch.device) -> Images:
    """All images of a file, copies behind them, made once for all who share them."""
    kept = _whole_files.setdefault(arrays, {})
    key = (device, copies.sha256 if copies else None)
    if key not in kept:
        everything = torch.arange(len(arrays["labels"]))
        images = Images.from_arrays(arrays, everything, device)
        if copies is not None:
            images += Images.from_arrays(copies, everything, device)
        kept[key] = images
    return kept[key]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What one run may see: never the test images.

    Args:
        train: the training split, its copies behind it where the recipe asks for them.
        validation: the validation split, without copies.
        normalisation: of the training split without its copies, or the recipe's.
        backbone: weights that the net starts from, by their names in the backbone; None for none.
        prepare: computes what the first step needs; yields how many images are done, of how many.
    """

    train: Batches
    validation: Batches
    normalisation: Normalisation
    backbone: Mapping[str, np.ndarray] | None = None
    prepare: Callable[[], Iterable[tuple[int, int]]] = tuple


def split_indices(total: int, *, train: int, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Disjoint random rows for training and validation.

    Not stratified, like the report's split: class counts vary by chance. The validation rows depend
    on the seed alone, not on the size of the training split.

    Args:
        total: rows to choose from.
        train: rows for training.
        validation: rows for validation; train + validation <= total.
        seed: of the run.

    Returns:
        int64 (train,) and (validation,).
    """
    assert train + validation <= total
    order = torch.randperm(total, generator=make_generator(seed, "split"))
    return order[validation : validation + train], order[:validation]


def make_training_data(
    arrays: Arrays,
    copies: Arrays | None,
    recipe: AnyRecipe,
    *,
    seed: int,
    device: torch.device,
    backbone: Mapping[str, np.ndarray] | None = None,
    shared: bool | None = None,
) -> TrainingData:
    """Splits the training file for one seed.

    Args:
        arrays: the training file.
        copies: a copy of each of its images in their order; needed where ``recipe.copies``.
        recipe: sizes of the splits, and whether copies are used.
        seed: of the run.
        device: where the images go.
        backbone: weights that the net starts from.
        shared: whether all seeds look at one copy of the file; None: on a GPU, where they train
            at once.

    Raises:
        UserError: the file has too few images, or the copies are not of these images.
    """
    total = len(arrays["labels"])
    if recipe.train_images + recipe.validation_images > total:
        raise UserError(
            f"{TRAIN_FILE} has {total} images; train_images + validation_images = "
            f"{recipe.train_images + recipe.validation_images} in params.yaml"
        )
    rows, validation_rows = split_indices(
        total, train=recipe.train_images, validation=recipe.validation_images, seed=seed
    )
    if not recipe.copies:
        copies = None
    elif copies is None or len(copies["labels"]) != total:
        remedy = "dvc repro --force --single-item augment"
        raise UserError(f"{COPIES_FILE} does not belong to {TRAIN_FILE}: {remedy}")
    # Copies of validation images stay out: the original report's leak.
    if device.type == "cuda" if shared is None else shared:
        whole = whole_file(arrays, copies, device)
        validation, originals = whole.take(validation_rows), whole.take(rows)
        train = whole.take(torch.cat([rows, rows + total])) if copies else originals
    else:
        validation = Images.from_arrays(arrays, validation_rows, device)
        originals = Images.from_arrays(arrays, rows, device)
        train = originals + Images.from_arrays(copies, rows, device) if copies else originals
    if recipe.normalisation is None:
        normalisation = Normalisation.of(originals.own_pixels())
    else:
        normalisation = Normalisation(mean=recipe.normalisation[0], std=recipe.normalisation[1])
    return TrainingData(
        train=train, validation=validation, normalisation=normalisation, backbone=backbone
    )
