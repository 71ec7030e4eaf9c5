"""What the layers of a net make of an image.

Source: the original report, tasks 4b and 4c; Zeiler & Fergus (2014), Visualizing and understanding
convolutional networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import ResNet18_Weights

from cifar_tricks.data.photo import crop_square, read_photo
from cifar_tricks.figures.layers import (
    PHOTO_SIZE,
    check_layers,
    convolutions,
    layer_outputs,
    module_outputs,
    node_names,
)
from cifar_tricks.figures.views import Examples, NetView
from cifar_tricks.parameters.schema import ShownLayers
from cifar_tricks.training.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD
from cifar_tricks.training.normalisation import Normalisation

# In pixel values 0 to 255, like that of our own nets.
IMAGENET = Normalisation(
    mean=tuple(255 * mean for mean in IMAGENET_MEAN), std=tuple(255 * std for std in IMAGENET_STD)
)
# Of our own nets this many filters and channels are shown, the first ones.
SHOWN = 8


def view_photo(
    net: nn.Module, backbone: str, layers: ShownLayers, photo: Path | str, description: str
) -> NetView:
    """What an ImageNet net makes of a photo.

    Args:
        net: with its 1,000 classes and ImageNet's weights, in evaluation mode, on the CPU.
        backbone: a key of BACKBONES.
        layers: what is shown.
        photo: the file.
        description: what it shows.

    Raises:
        UserError: the photo cannot be read, or the net has no such layer.
    """
    check_layers(net, layers, f"visualize.layers.{backbone}")
    pixels = crop_square(read_photo(photo, min_side=PHOTO_SIZE), PHOTO_SIZE)
    classes = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    title = BACKBONES[backbone].title
    return _view(net, IMAGENET, layers, pixels, classes, net=title, image=description)


def view_example(
    net: nn.Module, normalisation: Normalisation, key: str, examples: Examples, place: int = 0
) -> NetView:
    """What one of our own nets makes of a test image.

    Args:
        net: in evaluation mode, on the CPU; one with convolutions.
        normalisation: of its run.
        key: of its variant.
        examples: the test images.
        place: which of them.
    """
    names, pixels = examples.class_names, examples.pixels(place)
    layers = _own_layers(net, len(pixels))
    label, number = names[examples.labels[place]], examples.index[place]
    description = f"{examples.title} test image {number} ({label})"
    return _view(net, normalisation, layers, pixels, names, net=key, image=description)


def _own_layers(net: nn.Module, size: int) -> ShownLayers:
    """First and last convolution of a net of the study."""
    names = convolutions(net, size)
    first, last = map(net.get_submodule, (names[0], names[-1]))
    assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)
    return ShownLayers(
        first=names[0],
        filters=tuple(range(min(SHOWN, first.out_channels))),
        last=names[-1],
        channels=tuple(range(min(SHOWN, last.out_channels))),
    )


def _view(
    module: nn.Module,
    normalisation: Normalisation,
    layers: ShownLayers,
    pixels: np.ndarray,
    classes: Sequence[str],
    **titles: str,
) -> NetView:
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    images = normalisation.to(batch.device)(batch)
    shown = {layers.first, layers.last}
    if shown <= dict(module.named_modules()).keys():
        output, results = "", module_outputs(module, images, {*shown, ""})
    else:
        output = node_names(module)[-1]
        results = layer_outputs(module, images, {*shown, output})
    answer = results[output][0].softmax(0)
    best = int(answer.argmax())
    convolution = module.get_submodule(layers.first)
    assert isinstance(convolution, nn.Conv2d)
    return NetView(
        pixels=pixels,
        first=layers.first,
        weights=convolution.weight.detach().numpy(),
        filters=tuple(layers.filters),
        first_maps=results[layers.first][0, list(layers.filters)].numpy(),
        last=layers.last,
        channels=tuple(layers.channels),
        last_maps=results[layers.last][0, list(layers.channels)].numpy(),
        last_channels=results[layers.last].shape[1],
        answer=classes[best],
        probability=float(answer[best]),
        **titles,
    )
