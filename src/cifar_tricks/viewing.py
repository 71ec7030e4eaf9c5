"""Everything that the pictures of activations show, from nets, photo and test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cifar_tricks.activations import view_example, view_photo
from cifar_tricks.attribution import attribute
from cifar_tricks.data import Normalisation
from cifar_tricks.layers import Layers
from cifar_tricks.models import ConvNet
from cifar_tricks.views import Examples, Views


@dataclass(frozen=True, kw_only=True)
class ImageNetView:
    """What is asked of an ImageNet net.

    Args:
        net: with its 1,000 classes and ImageNet's weights, in evaluation mode, on the CPU.
        backbone: its key in :data:`cifar_tricks.backbones.BACKBONES`.
        layers: which layers are shown.
        photo: the file.
        description: what the photo shows and where it comes from, in a few words.
    """

    net: nn.Module
    backbone: str
    layers: Layers
    photo: Path | str
    description: str


def make_views(
    imagenet: ImageNetView | None,
    own: Mapping[str, tuple[ConvNet, Normalisation]],
    examples: Examples | None,
    best: str | None,
) -> Views:
    """Computes all that can be shown.

    Args:
        imagenet: None where no weights could be had.
        own: our nets with the normalisation of their runs, by key, in evaluation mode, on the CPU.
        examples: test images with the predictions of the net ``best``; None for none.
        best: key of the net that is explained; left out where ``own`` lacks it.

    Raises:
        UserError: the photo cannot be read, or the ImageNet net has no such layer.
    """
    photo = None
    if imagenet is not None:
        ask = imagenet
        photo = view_photo(ask.net, ask.backbone, ask.layers, ask.photo, ask.description)
    if examples is None or not len(examples):
        return Views(photo=photo)
    return Views(
        photo=photo,
        own={key: view_example(*own[key], key, examples) for key in own},
        attribution=attribute(*own[best], best, examples) if best and best in own else None,
    )
