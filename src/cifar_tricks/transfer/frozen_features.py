"""What a frozen trunk makes of the images: computed once and kept, as far as memory is granted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import torch
from torch import Tensor, nn

from cifar_tricks.base.errors import UserError
from cifar_tricks.training.images import Batches, TrainingData
from cifar_tricks.training.predicting import autocast
from cifar_tricks.transfer.net import TransferNet

# Images that go through the trunk at once: it decides memory, and how sums are rounded.
CHUNK = 32


class Features:
    """The trunk's features of labelled images, in place of the images.

    Those of the first images are kept once :meth:`fill` has computed them; all others are computed
    whenever a batch asks for them.

    Args:
        images: the images.
        compute: from images uint8 (B, 3, 32, 32) to features (B, C, H, W).
        num_kept: of how many images the features are kept.
    """

    def __init__(
        self, images: Batches, compute: Callable[[Tensor], Tensor], *, num_kept: int
    ) -> None:
        self.images, self.compute, self.num_kept = images, compute, num_kept
        self.kept = torch.empty(0)

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return self.images.labels

    @property
    def is_resident(self) -> bool:
        """Whether all features are kept."""
        return self.num_kept == len(self)

    @property
    def rows(self) -> Tensor:
        """0 to N - 1."""
        return torch.arange(len(self), device=self.labels.device)

    def __len__(self) -> int:
        return len(self.images)

    def fill(self) -> Iterator[int]:
        """Computes the features to keep; yields how many images are done, chunk by chunk."""
        for start in range(0, self.num_kept, CHUNK):
            rows = torch.arange(start, min(start + CHUNK, self.num_kept))
            features = self._computed(rows.to(self.labels.device))
            if not start:
                # Channels innermost, like the images.
                shape = (self.num_kept, *features.permute(0, 2, 3, 1).shape[1:])
                self.kept = torch.empty(shape, dtype=features.dtype, device=features.device)
            self.kept[start : start + len(rows)] = features.permute(0, 2, 3, 1)
            yield start + len(rows)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) in channels_last memory format, and labels (B,)."""
        labels = self.labels[rows]
        known = rows < self.num_kept
        if self.is_resident or known.all():
            return self.kept[rows].permute(0, 3, 1, 2), labels
        computed = self._computed(rows[~known])
        shape = (len(rows), *computed.shape[1:])
        features = computed.new_empty(shape).to(memory_format=torch.channels_last)
        features[~known] = computed
        if known.any():
            features[known] = self.kept[rows[known]].permute(0, 3, 1, 2)
        return features, labels

    def _computed(self, rows: Tensor) -> Tensor:
        chunks = torch.split(self.images.rows[rows], CHUNK)
        return torch.cat([self.compute(self.images.batch(chunk)[0]) for chunk in chunks])


def frozen_features(
    net: TransferNet,
    data: TrainingData,
    normaliser: Callable[[Tensor], Tensor],
    *,
    precision: str,
    cache_gb: float,
) -> tuple[nn.Module, TrainingData, Callable[[Tensor], Tensor]]:
    """Puts the trunk's features in the place of the images: what is frozen runs once per image.

    Args:
        net: trunk and tail.
        data: images of the run.
        normaliser: of these images.
        precision: fp32 or bf16; the features are kept in it.
        cache_gb: memory for the features, in units of 10^9 bytes. The validation images, which are
            needed most often, come first.

    Returns:
        The tail, the same data with features for images, and the normaliser for them, which leaves
        them as they are.

    Raises:
        UserError: the machine has not that much memory left.
    """
    device = data.train.labels.device

    def compute(images: Tensor) -> Tensor:
        with torch.no_grad(), autocast(device, precision):
            return net.features(normaliser(images))

    one, _ = data.validation.batch(data.validation.rows[:1])
    bytes_per_image = compute(one).nbytes
    affordable = int(cache_gb * 1e9) // bytes_per_image
    validation_kept = min(affordable, len(data.validation))
    train_kept = min(affordable - validation_kept, len(data.train))
    _check_memory((validation_kept + train_kept) * bytes_per_image, cache_gb, device)
    validation = Features(data.validation, compute, num_kept=validation_kept)
    train = Features(data.train, compute, num_kept=train_kept)

    def prepare() -> Iterator[tuple[int, int]]:
        total = validation_kept + train_kept
        yield from ((done, total) for done in validation.fill())
        yield from ((validation_kept + done, total) for done in train.fill())

    features = replace(data, train=train, validation=validation, prepare=prepare)
    return net.tail, features, nn.Identity()


def _check_memory(needed: int, cache_gb: float, device: torch.device) -> None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"transfer.cache_gb = {cache_gb:g}: {needed / 1e9:.1f} GB for the frozen trunk's "
            f"features, but {free / 1e9:.1f} GB of memory are free; with less, the other images' "
            "features are computed anew in each epoch"
        )
