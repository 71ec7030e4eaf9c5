"""What brings pixel values to mean 0 and standard deviation 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ROW = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation of the three channels, in pixel values 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: Tensor) -> Normalisation:
        """Measures them over images uint8 (N, H, W, 3), exactly (sums of integers)."""
        values = torch.arange(256, dtype=torch.float64)
        means, stds = [], []
        for channel in range(3):
            # One row of counts per pixel value: no rounding, whatever the device or thread count.
            counts = torch.bincount(pixels[..., channel].reshape(-1).int(), minlength=256)
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
        row = [values.repeat(ROW).to(device) for values in (scale, shift)]
        return Normaliser(scale=row[0], shift=row[1])


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Maps pixel values to ``value * scale + shift``, both (96,): a row of pixels."""

    scale: Tensor
    shift: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 or float (B, 3, H, W) to float32 of mean 0 and standard deviation 1.

        Fastest where channels lie innermost in memory, as they do in the result.
        """
        pixels = images.permute(0, 2, 3, 1)
        # The longest row that an image consists of: values as many at a time as can be.
        length = 3 * math.gcd(ROW, pixels.shape[1] * pixels.shape[2])
        rows = pixels.reshape(len(images), -1, length)
        normal = torch.addcmul(self.shift[:length], rows.float(), self.scale[:length])
        return normal.view(pixels.shape).permute(0, 3, 1, 2)
