"""What a frozen trunk makes of the images: computed once and kept, as far as memory is granted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import torch
from torch import Tensor, nn

from cifar_tricks.base.errors import UserError
from cifar_tricks.training.images import Images, TrainingData
from cifar_tricks.training.predicting import autocast
from cifar_tricks.transfer.features import Features, Part, SharedFeatures
from cifar_tricks.transfer.net import TransferNet


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
    if whole := _shared_file(data):
        num_kept = min(affordable, len(whole))
        # The weights of the trunk decide too: a process may know two backbones.
        sums = tuple(value.double().sum().item() for value in net.trunk.state_dict().values())
        key = (precision, num_kept, sums)
        if key not in whole.computed:
            _check_memory(num_kept * bytes_per_image, cache_gb, device)
            whole.computed[key] = SharedFeatures(whole, compute, num_kept=num_kept)
        store = whole.computed[key]
        splits = [
            Part(features=store, labels=split.labels, rows=split.rows)
            for split in (data.train, data.validation)
        ]
        wanted = torch.cat([split.rows for split in splits])
        shared = replace(
            data,
            train=splits[0],
            validation=splits[1],
            prepare=lambda: store.fill_rows(wanted),
        )
        return net.tail, shared, nn.Identity()
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


def _shared_file(data: TrainingData) -> Images | None:
    """The file that the seeds share, None where they do not, or use too little of it."""
    train, validation = data.train, data.validation
    if not isinstance(train, Images) or not isinstance(validation, Images):
        return None
    total = len(train.pixels)
    if train.pixels is not validation.pixels or 2 * (len(train) + len(validation)) < total:
        return None
    return replace(train, rows=torch.arange(total, device=train.rows.device))


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
