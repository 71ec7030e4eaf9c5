"""Random changes of images that keep their class: pure functions on batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(
    images: Tensor, *, padding: int, flip_probability: float, generator: torch.Generator
) -> Tensor:
    """Pads each image with black, cuts a random window of its size out, and flips some.

    Args:
        images: (B, 3, H, W), any type; fastest where channels lie innermost in memory.
        padding: border on each side in pixels, >= 0.
        flip_probability: of a left-right flip, in [0, 1].
        generator: on the device of the images.

    Returns:
        (B, 3, H, W), channels innermost, same type.

    Source: He et al. (2016), Deep residual learning for image recognition, section 4.2.
    """
    count, _, height, width = images.shape
    device = images.device
    shifts = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
    flips = torch.rand(count, 1, generator=generator, device=device) < flip_probability
    rows = shifts[0] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = shifts[1] + torch.where(flips, width - 1 - columns, columns)
    return take(F.pad(images, (padding, padding, padding, padding)), rows, columns)


def augment_batch(
    images: Tensor,
    labels: Tensor,
    *,
    padding: int,
    flip_probability: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """:func:`crop_and_flip` as a batch transform; labels (B,) stay as they are."""
    cropped = crop_and_flip(
        images, padding=padding, flip_probability=flip_probability, generator=generator
    )
    return cropped, labels


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Flips the chosen images left to right.

    Args:
        images: (B, 3, H, W), any type.
        chosen: bool (B,).
    """
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at rows (B, h) and columns (B, w) of images (B, C, H, W): (B, C, h, w), channels
    innermost."""
    count, channels = images.shape[:2]
    height, width, device = rows.shape[1], columns.shape[1], images.device
    pixels = images.permute(0, 2, 3, 1)
    # Whole rows first, then the values in them: pixel by pixel takes eighteen times as long.
    lines = pixels.reshape(count * pixels.shape[1], -1)
    rows = rows + torch.arange(count, device=device)[:, None] * pixels.shape[1]
    taken = lines.index_select(0, rows.flatten()).view(count, height, -1)
    places = columns[:, :, None] * channels + torch.arange(channels, device=device)
    places = places.view(count, 1, width * channels).expand(-1, height, -1)
    return taken.gather(2, places).view(count, height, width, channels).permute(0, 3, 1, 2)
