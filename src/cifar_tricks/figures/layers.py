"""Layers of a net by their names: what they return for an image, and whether they are there.

Source: torchvision's feature extraction, which follows a net by torch.fx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.schema import ShownLayers

# Height and width in pixels of what ImageNet nets take.
PHOTO_SIZE = 224


def layer_outputs(net: nn.Module, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """What the layers return for the images, without gradients.

    Args:
        net: in evaluation mode.
        images: as the net takes them, (B, 3, H, W).
        layers: names of modules or of nodes of torchvision's graph; of a module with several nodes,
            such as ``layer4``, its last one.

    Raises:
        ValueError: the net has no such layer, or torch.fx cannot follow it.
    """
    outputs, tracing = {}, _tracing(net)
    for name in layers:
        # One at a time, and so nothing runs behind it: an activation function that works in place
        # would overwrite what the layer before returned.
        extractor = create_feature_extractor(
            net, [name], tracer_kwargs=tracing, suppress_diff_warning=True
        )
        with torch.inference_mode():
            outputs[name] = extractor(images)[name]
    return outputs


def module_outputs(net: nn.Module, images: Tensor, modules: Iterable[str]) -> dict[str, Tensor]:
    """The same for modules alone, seen at work: also where torch.fx cannot follow the code.

    Args:
        net: in evaluation mode.
        images: as the net takes them, (B, 3, H, W).
        modules: names of modules; "" is the net. Of one that runs several times, the last output.
    """
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        # A copy: what follows may work in place.
        return lambda module, given, output: outputs.update({name: output.clone()})

    hooks = [net.get_submodule(name).register_forward_hook(note(name)) for name in modules]
    try:
        with torch.inference_mode():
            net(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def convolutions(net: nn.Module, size: int) -> list[str]:
    """Names of the convolutions that any net runs, in this order; none where the first of them sees
    no colour image.

    Args:
        net: in evaluation mode.
        size: height and width of its images, in pixels.
    """
    named = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    images = torch.zeros(1, 3, size, size)
    run = list(module_outputs(net, images, named))
    return run if run and _sees_images(net.get_submodule(run[0])) else []


def check_layers(net: nn.Module, layers: ShownLayers, where: str) -> None:
    """Whether the net has these layers, filters and channels; its weights do not matter.

    Args:
        net: in evaluation mode.
        layers: which.
        where: the keys that lead to them, for the message, e.g. ``visualize.layers.resnet18``.

    Raises:
        UserError: with the key, the value and what is valid.
    """
    nodes = node_names(net)
    for key, name in (("first", layers.first), ("last", layers.last)):
        if not any(node == name or node.startswith(f"{name}.") for node in nodes):
            raise UserError(f"{where}.{key} = {name}: {_choose_layer(name, nodes)}")
    convolution: Any = dict(net.named_modules()).get(layers.first)
    if not _sees_images(convolution):
        first = ", ".join(n for n, module in net.named_modules() if _sees_images(module))
        raise UserError(f"{where}.first = {layers.first}: sees no colour image; valid: {first}")
    count = convolution.out_channels
    _check_numbers(f"{where}.filters", layers.filters, f"{layers.first} has {count}", count)
    images = torch.zeros(1, 3, PHOTO_SIZE, PHOTO_SIZE)
    output = layer_outputs(net, images, [layers.last])[layers.last]
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise UserError(f"{where}.last = {layers.last}: has no feature maps; valid: a layer before")
    count = output.shape[1]
    _check_numbers(f"{where}.channels", layers.channels, f"{layers.last} has {count}", count)


def node_names(net: nn.Module) -> list[str]:
    """Everything that the net computes in evaluation mode, in this order."""
    names: list[str] = get_graph_node_names(net, _tracing(net), suppress_diff_warning=True)[1]
    return names[1:]  # the first is the image


def _tracing(net: nn.Module) -> dict[str, Any]:
    """Takes every layer as a whole, that is every module with weights of its own or without parts.

    torch.fx cannot follow the Python code of some of them, such as timm's padded convolutions.
    """
    layers = {
        type(module)
        for module in net.modules()
        if not isinstance(module, nn.Sequential)  # one without parts is no layer either
        and (not list(module.children()) or list(module.parameters(recurse=False)))
    }
    return {"leaf_modules": list(layers)}


def _sees_images(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1


def _choose_layer(given: str, nodes: Sequence[str]) -> str:
    stages = dict.fromkeys(node.partition(".")[0] for node in nodes)
    close = get_close_matches(given, [*stages, *nodes], n=3)
    hint = f"did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
    return f"no such layer; {hint}valid: {', '.join(stages)} and the layers within"


def _check_numbers(key: str, numbers: Sequence[int], given: str, count: int) -> None:
    if not numbers:
        raise UserError(f"{key} = []: at least one; valid: 0 to {count - 1}")
    for number in numbers:
        if not 0 <= number < count:
            raise UserError(f"{key} = {number}: {given}; valid: 0 to {count - 1}")
