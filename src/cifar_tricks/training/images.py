"""Images of a run: its split of the training file, its normalisation, its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.training.randomness import make_generator
from cifar_tricks.training.recipe import IMAGE_SIZE, AnyRecipe

TRAIN_FILE = "data/cifar10/train.safetensors"
COPIES_FILE = "data/augmented.safetensors"


class Batches(Protocol):
    """What a net is trained and measured on: inputs by row, with their labels int64 (N,)."""

    @property
    def labels(self) -> Tensor: ...

    @property
    def is_resident(self) -> bool:
        """Whether every batch is gathered on the device, without the host's help."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) and labels (B,) of these rows, int64 (B,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Images:
    """Labelled images in memory, on the device of the run.

    Args:
        pixels: uint8 (N, 32, 32, 3): channels innermost, as convolutions like them best.
        labels: int64 (N,), in [0, 10).
    """

    pixels: Tensor
    labels: Tensor
    is_resident: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 (B, 3, 32, 32) in channels_last memory format, and labels (B,)."""
        # A copy of each row; indexing in brackets takes twenty-five times as long.
        pixels = self.pixels.index_select(0, indices)
        return pixels.permute(0, 3, 1, 2), self.labels.index_select(0, indices)

    @classmethod
    def from_arrays(cls, arrays: Arrays, indices: Tensor, device: torch.device) -> Images:
        """The chosen rows of a file (``images`` N x 3 x 32 x 32, ``labels`` N), on the device."""
        images = torch.from_numpy(arrays["images"])[indices]
        labels = torch.from_numpy(arrays["labels"])[indices]
        return cls(
            pixels=images.permute(0, 2, 3, 1).contiguous().to(device), labels=labels.to(device)
        )


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation of the three channels, in pixel values 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Images) -> Normalisation:
        """Measures them over the images, exactly (sums of integers)."""
        values = torch.arange(256, dtype=torch.float64)
        means, stds = [], []
        for channel in range(3):
            # One row of counts per pixel value: no rounding, whatever the device or thread count.
            counts = torch.bincount(images.pixels[..., channel].reshape(-1).int(), minlength=256)
            weights = counts.cpu().double() / counts.sum().item()
            mean = (weights * values).sum()
            means.append(mean.item())
            # A channel without any variation is left unscaled.
            std = (weights * (values - mean) ** 2).sum().sqrt().item()
            stds.append(std or 1.0)
        return cls(mean=(means[0], means[1], means[2]), std=(stds[0], stds[1], stds[2]))

    def to(self, device: torch.device) -> Normaliser:
        """The same on a device, ready for batches."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        scale, shift = 1 / std, -mean / std
        # Repeated for a row of pixels: three values at a time take five times as long.
        row = [values.repeat(IMAGE_SIZE).to(device) for values in (scale, shift)]
        return Normaliser(scale=row[0], shift=row[1])


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Maps pixel values to ``value * scale + shift``, both (96,): a row of 32 pixels."""

    scale: Tensor
    shift: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 or float (B, 3, H, W), H * W a multiple of 32, to float32 of mean 0 and standard
        deviation 1.

        Fastest where channels lie innermost in memory, as they do in the result.
        """
        pixels = images.permute(0, 2, 3, 1)
        rows = pixels.reshape(len(images), -1, len(self.scale))
        normal = torch.addcmul(self.shift, rows.float(), self.scale)
        return normal.view(pixels.shape).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What one run may see: never the test images.

    Args:
        train: the training split, its copies behind it where the recipe asks for them.
        validation: the validation split, without copies.
        normalisation: of the training split without its copies, or the recipe's.
        backbone: weights that the net starts from, by their names in the backbone; None for none.
        prepare: what has to be computed before the first step, piece by piece; each yields how many
            images are done and how many there are.
    """

    train: Batches
    validation: Batches
    normalisation: Normalisation
    backbone: Mapping[str, np.ndarray] | None = None
    prepare: Callable[[], Iterable[tuple[int, int]]] = tuple


def split_indices(total: int, *, train: int, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Disjoint random rows for training and validation.

    Not stratified: like the report's split, each is a uniform sample, so class counts vary by
    chance. The validation rows depend on the seed alone, not on the size of the training split.

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
) -> TrainingData:
    """Splits the training file for one seed.

    Args:
        arrays: the training file.
        copies: one copy of each of its images in the same order; needed where ``recipe.copies``.
        recipe: sizes of the splits, and whether copies are used.
        seed: of the run.
        device: where the images go.
        backbone: weights that the net starts from.

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
    train = Images.from_arrays(arrays, rows, device)
    if recipe.normalisation is None:
        normalisation = Normalisation.of(train)
    else:
        normalisation = Normalisation(mean=recipe.normalisation[0], std=recipe.normalisation[1])
    if recipe.copies:
        if copies is None or len(copies["labels"]) != total:
            remedy = "dvc repro --force --single-item augment"
            raise UserError(f"{COPIES_FILE} does not belong to {TRAIN_FILE}: {remedy}")
        # Copies of validation images stay out: the original report's leak.
        copied = Images.from_arrays(copies, rows, device)
        train = Images(
            pixels=torch.cat([train.pixels, copied.pixels]),
            labels=torch.cat([train.labels, copied.labels]),
        )
    validation = Images.from_arrays(arrays, validation_rows, device)
    return TrainingData(
        train=train, validation=validation, normalisation=normalisation, backbone=backbone
    )
