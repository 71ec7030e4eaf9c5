"""Grad-CAM: where in an image a net finds what speaks for a class.

Source: Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based
localization.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_tricks.figures.layers import convolutions, module_outputs
from cifar_tricks.figures.views import Attribution, Examples
from cifar_tricks.training.nets import ConvNet
from cifar_tricks.training.normalisation import Normalisation

Half = Callable[[Tensor], Tensor]


def split_net(net: nn.Module, size: int) -> tuple[Half, Half]:
    """The net in two halves: images to the last feature maps, and these to logits.

    The cut lies behind the last block's activation and before its pooling, where the maps are
    largest. Where the net pools first, because the two commute, the halves do not: they compute the
    same logits; a pooling that is meant to come before the norm stays there. Of an imported net the
    cut lies behind its last convolution, and the second half goes with the images that the first
    was given.

    Args:
        net: in evaluation mode.
        size: height and width of its images, in pixels.
    """
    if not isinstance(net, ConvNet):
        return _split_behind(net, convolutions(net, size)[-1])
    stem = [] if net.stem is None else [net.stem]
    *before, last = net.blocks
    parts = dict(last.named_children())
    behind = ("dropout",) if net.pool_early else ("pool", "dropout")
    rest = [parts.pop(name) for name in behind if name in parts]
    return (
        nn.Sequential(*stem, *before, *parts.values()),
        nn.Sequential(*rest, net.flatten, net.hidden, net.head),
    )


def _split_behind(net: nn.Module, name: str) -> tuple[Half, Half]:
    given: list[Tensor] = []

    def features(images: Tensor) -> Tensor:
        given[:] = [images]
        return module_outputs(net, images, [name])[name].clone()

    def head(maps: Tensor) -> Tensor:
        hook = net.get_submodule(name).register_forward_hook(lambda *_: maps)
        try:
            logits: Tensor = net(given[0])
        finally:
            hook.remove()
        return logits

    return features, head


def grad_cam(features: Half, head: Half, images: Tensor, classes: Tensor) -> Tensor:
    """The feature maps, each weighted by how much the class's logit grows with it on average.

    Args:
        features: from images to feature maps (B, C, h, w), in evaluation mode.
        head: from these to logits (B, K), in evaluation mode.
        images: as the net takes them, (B, 3, H, W).
        classes: of each image, int64 (B,).

    Returns:
        float32 (B, h, w), not negative, the largest value of each map 1; all 0 where nothing speaks
        for the class.
    """
    with torch.no_grad():
        maps = features(images)
    maps.requires_grad_()
    logits = head(maps).gather(1, classes[:, None])
    (gradients,) = torch.autograd.grad(logits.sum(), maps)
    weights = gradients.mean((2, 3), keepdim=True)
    cam = (weights * maps.detach()).sum(1).relu()
    peaks = cam.amax((1, 2), keepdim=True)
    result: Tensor = cam / peaks.where(peaks > 0, 1)
    return result


def attribute(
    net: nn.Module, normalisation: Normalisation, key: str, examples: Examples
) -> Attribution:
    """Grad-CAM of the predicted and of the true class, for every example.

    Args:
        net: in evaluation mode, on the CPU.
        normalisation: of its run.
        key: of its variant.
        examples: the images.
    """
    images = normalisation.to(torch.device("cpu"))(torch.from_numpy(examples.images))
    predicted, labels = (torch.from_numpy(c) for c in (examples.predicted, examples.labels))
    features, head = split_net(net, images.shape[-1])
    with torch.no_grad():
        answers = net(images).softmax(1).gather(1, predicted[:, None])[:, 0]
        map_size = features(images[:1]).shape[-1]
    predicted_maps, label_maps = (
        _enlarge(grad_cam(features, head, images, classes), images.shape[-1])
        for classes in (predicted, labels)
    )
    return Attribution(
        net=key,
        layer=_layer(net, images.shape[-1]),
        map_size=map_size,
        examples=examples,
        for_predicted=predicted_maps,
        for_label=label_maps,
        probability=answers.numpy(),
    )


def _layer(net: nn.Module, size: int) -> str:
    if isinstance(net, ConvNet):
        return f"activations of blocks.{len(net.blocks) - 1} before pooling"
    return f"outputs of {convolutions(net, size)[-1]}"


def _enlarge(maps: Tensor, size: int) -> np.ndarray:
    """(N, h, w) to (N, size, size)."""
    enlarged: np.ndarray = F.interpolate(maps[:, None], (size, size), mode="bilinear")[:, 0].numpy()
    return enlarged
