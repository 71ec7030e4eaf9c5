"""What a frozen trunk makes of images, in their place: kept, or computed whenever asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_tricks.training.images import Batches

# Images that go through the trunk at once: it decides memory, and how sums are rounded.
CHUNK = 32


class Features:
    """The trunk's features of labelled images, in place of the images.

    Those of the first images are kept once :meth:`fill` has computed them; all others are computed
    whenever a batch asks for them.

    Args:
        images: the images.
        compute: from images uint8 (B, 3, H, W) to features (B, C, H, W).
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


class SharedFeatures(Features):
    """Features of a whole file, of which several seeds look at their splits."""

    def __init__(
        self, images: Batches, compute: Callable[[Tensor], Tensor], *, num_kept: int
    ) -> None:
        super().__init__(images, compute, num_kept=num_kept)
        self.done = torch.zeros(len(images), dtype=torch.bool, device=self.labels.device)

    def fill_rows(self, rows: Tensor) -> Iterator[tuple[int, int]]:
        """Computes those of these rows that are to be kept and are not yet; yields how many are
        done and how many there are."""
        left = rows[(rows < self.num_kept) & ~self.done[rows]]
        for start in range(0, len(left), CHUNK):
            chunk = left[start : start + CHUNK]
            # The last one is as large as the others: so what a row becomes does not depend on
            # which others are left.
            full = torch.cat([chunk, chunk[-1:].expand(CHUNK - len(chunk))])
            features = self._computed(full)[: len(chunk)].permute(0, 2, 3, 1)
            if not len(self.kept):
                shape = (self.num_kept, *features.shape[1:])
                self.kept = torch.empty(shape, dtype=features.dtype, device=features.device)
            self.kept[chunk] = features
            self.done[chunk] = True
            yield start + len(chunk), len(left)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows of features that others look at too.

    Args:
        features: of all rows.
        labels: of these, int64 (N,).
        rows: which these are, int64 (N,).
    """

    features: SharedFeatures
    labels: Tensor
    rows: Tensor

    @property
    def is_resident(self) -> bool:
        """Whether all features are kept."""
        return self.features.is_resident

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Features.batch`."""
        return self.features.batch(rows)
