"""A first convolution that whitens the image's patches, and is not trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick

if TYPE_CHECKING:
    from torch import Tensor

    from cifar_tricks.training.images import Batches, TrainingData

# Bounds the memory; changes no result, since all sums are exact.
CHUNK = 500


class Whitening(Trick):
    """Puts a convolution in front of the net whose filters are the principal components of small
    patches of the training images, each scaled to variance 1, and their negatives. Only its bias is
    trained.

    Source: Page (2019), How to train your ResNet, part 8; Jordan (2024), 94% on CIFAR-10 in 3.29
    seconds on a single GPU, section 3.2.
    """

    kernel_size: int = Field(2, ge=1, le=32, description="of the patches, in pixels")
    images: int = Field(5000, ge=1, le=100_000, description="whose patches are measured, at most")
    epsilon: float = Field(5e-4, gt=0, le=1, description="added to the variances")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this convolution in front."""
        arguments = {"images": self.images, "epsilon": self.epsilon}
        return replace(
            recipe,
            net=replace(recipe.net, stem=self.kernel_size),
            features=Call(f"{__name__}.whiten", arguments),
        )


def whiten(
    net: Any, data: TrainingData, normaliser: Any, *, images: int, epsilon: float, precision: str
) -> tuple[Any, TrainingData, Any]:
    """Sets the filters of the net's stem, from the training split only.

    Args:
        net: a ConvNet with a stem.
        data: of the run.
        normaliser: of its images.
        images: how many of the training split are measured, its first ones.
        epsilon: added to the variances.
        precision: of the training; the filters are float32 all the same.

    Returns:
        The net, the data and the normaliser, as ``features`` of a recipe does.
    """
    import torch

    convolution = net.stem.conv
    size = convolution.kernel_size[0]
    covariance = patch_covariance(data.train, count=images, size=size)
    # Of normalised images: the mean of the patches does not matter.
    scale = 1 / torch.tensor(data.normalisation.std, dtype=torch.float64)
    scale = scale.repeat_interleave(size**2)
    variances, components = torch.linalg.eigh(covariance * scale[:, None] * scale)
    # Of the two signs that a component may have, always the same.
    largest = components.gather(0, components.abs().argmax(0, keepdim=True))
    filters = (components * largest.sign() / (variances + epsilon).sqrt()).T.flip(0)
    with torch.no_grad():
        convolution.weight.copy_(torch.cat([filters, -filters]).view_as(convolution.weight))
    return net, data, normaliser


def patch_covariance(images: Batches, *, count: int, size: int) -> Tensor:
    """Covariance of the values in all patches of some images, float64 on the CPU.

    The sums are of whole numbers below 2**53, hence exact: the same on any device.

    Args:
        images: pixel values 0 to 255.
        count: how many of them, the first ones.
        size: height and width of a patch, in pixels.

    Returns:
        (3 * size**2,) squared, in the order of a convolution's weights.
    """
    import torch
    from torch.nn import functional as F

    values, total = 3 * size**2, 0
    sums = torch.zeros(values, dtype=torch.float64, device=images.rows.device)
    products = sums.new_zeros(values, values)
    for rows in torch.split(images.rows[:count], CHUNK):
        pixels = images.batch(rows)[0].double()
        patches = F.unfold(pixels, size).transpose(0, 1).reshape(values, -1)
        sums += patches.sum(1)
        products += patches @ patches.T
        total += patches.shape[1]
    sums, products = sums.cpu(), products.cpu()
    return products / total - torch.outer(sums / total, sums / total)
