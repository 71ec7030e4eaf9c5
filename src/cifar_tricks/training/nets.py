"""The convolutional net, built from its spec."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifar_tricks.training.call import Call
from cifar_tricks.training.randomness import make_generator
from cifar_tricks.training.recipe import IMAGE_CHANNELS, AnyNet, NetSpec

# max(f(x)) = f(max(x)) for these, so pooling first gives the same values (and gradients, but for
# ties) with a quarter of the work. LeakyReLU is checked on its slope.
MONOTONIC = {"ReLU", "LeakyReLU", "ReLU6", "ELU", "SELU", "Tanh", "Sigmoid", "Softplus"}


class ConvNet(nn.Module):
    """Convolutional blocks, then fully connected layers; the softmax is in the loss.

    A block is convolution, norm, activation, max-pooling, dropout; where pooling and activation
    commute, pooling runs first. In front of them there may be a stem: a convolution that stays as
    it is set, but for its bias, and an activation.

    Args:
        spec: the net.
        seed: of the initial weights. Each parameter has its own random stream, named after it, so
            two nets share the initial values of every parameter whose name and shape agree.
    """

    def __init__(self, spec: NetSpec, *, seed: int) -> None:
        super().__init__()
        channels = spec.channels
        self.stem = _stem(spec, spec.stem) if spec.stem is not None else None
        self.blocks = nn.Sequential()
        for layer, filters in enumerate(spec.filters):
            self.blocks.append(_block(spec, layer, channels, filters))
            channels = filters
        self.flatten: nn.Module = nn.Flatten()
        if spec.pool_all:
            window = spec.feature_map_sizes()[-1]
            self.flatten = nn.Sequential(nn.MaxPool2d(window), self.flatten)
        features = spec.features
        self.hidden = nn.Sequential()
        for units in spec.hidden:
            self.hidden.append(_hidden(spec, features, units))
            features = units
        self.head = nn.Linear(features, spec.num_classes)
        if spec.logit_scale != 1:
            self.head = ScaledLinear(features, spec.num_classes, spec.logit_scale)
        self.pool_early = spec.pool_early
        initialise(self, spec.weight_init, seed)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, classes)."""
        if self.stem is not None:
            images = self.stem(images)
        logits: Tensor = self.head(self.hidden(self.flatten(self.blocks(images))))
        return logits


class ScaledLinear(nn.Linear):
    """A linear layer whose output is multiplied by a number."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__(inputs, outputs)
        self.factor = factor

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.factor


class HalfCopy:
    """A net whose convolutions and linear layers hold bfloat16 copies of their weights.

    Autocast would cast each weight, and each gradient back, by a kernel of its own; here one casts
    all of them. The values are the same.

    Args:
        net: in float32, what is trained; all but these weights is shared with the copy.
    """

    def __init__(self, net: nn.Module) -> None:
        cast = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        self.weights: list[Tensor] = [
            value for layer in cast for value in layer.parameters(recurse=False)
        ]
        others = {id(value): value for value in (*net.parameters(), *net.buffers())}
        for value in self.weights:
            del others[id(value)]
        memo: dict[int, Any] = dict(others)
        self.net = copy.deepcopy(net, memo)
        self.copies: list[Tensor] = [memo[id(value)] for value in self.weights]
        for value, half in zip(self.weights, self.copies, strict=True):
            half.data = value.detach().to(torch.bfloat16)
            value.grad = torch.empty_like(value) if value.requires_grad else None
        self.gradients = [value.grad for value in self.weights if value.grad is not None]

    def take_weights(self) -> None:
        """Casts the weights, before a step."""
        with torch.no_grad():
            torch._foreach_copy_(self.copies, self.weights)

    def give_gradients(self) -> None:
        """Casts the gradients back, behind it."""
        found = [half.grad for half in self.copies if half.grad is not None]
        torch._foreach_copy_(self.gradients, found)


def build_net(
    spec: AnyNet,
    *,
    seed: int,
    device: torch.device,
    backbone: Mapping[str, np.ndarray] | None = None,
) -> nn.Module:
    """The net with its initial weights, on the device.

    Args:
        spec: the net.
        seed: of the initial weights.
        device: where it goes.
        backbone: weights from ImageNet, for a :class:`~cifar_tricks.training.recipe.BackboneSpec`.
    """
    made = spec.module(spec, seed=seed)
    if backbone is not None:
        made.load_backbone(backbone)
    net: nn.Module = made.to(device)
    return net


def load_weights(spec: AnyNet, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    """The net with these weights, in evaluation mode.

    Raises:
        RuntimeError: names or shapes do not fit the spec.
    """
    net = build_net(spec, seed=0, device=device)
    net.load_state_dict(weights)
    return net.eval()


def num_parameters(net: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def _stem(spec: NetSpec, kernel_size: int) -> nn.Sequential:
    stem = nn.Sequential()
    convolution = nn.Conv2d(IMAGE_CHANNELS, spec.channels, kernel_size)
    convolution.weight.requires_grad_(False)
    stem.add_module("conv", convolution)
    stem.add_module("activation", spec.activation())
    return stem


def _block(spec: NetSpec, layer: int, channels: int, filters: int) -> nn.Sequential:
    block = nn.Sequential()
    sizes = channels, filters, spec.kernel_size, spec.stride, spec.padding
    block.add_module("conv", nn.Conv2d(*sizes, bias=spec.conv_bias))
    pool = spec.pool_after(layer)
    pooling = [("pool", nn.MaxPool2d(pool))] if pool is not None else []
    if spec.pool_early:
        for name, module in pooling:
            block.add_module(name, module)
        pooling = []
    if spec.norm_2d is not None:
        block.add_module("norm", spec.norm_2d(filters))
    activation = ("activation", spec.activation())
    swap = is_monotonic(spec.activation)
    for name, module in [*pooling, activation] if swap else [activation, *pooling]:
        block.add_module(name, module)
    if spec.dropout is not None:
        block.add_module("dropout", spec.dropout())
    return block


def _hidden(spec: NetSpec, features: int, units: int) -> nn.Sequential:
    layer = nn.Sequential()
    layer.add_module("linear", nn.Linear(features, units))
    if spec.norm_1d is not None:
        layer.add_module("norm", spec.norm_1d(units))
    layer.add_module("activation", spec.activation())
    return layer


def is_monotonic(activation: Call) -> bool:
    """Whether the activation is known never to decrease."""
    name = activation.target.removeprefix("torch.nn.")
    return name in MONOTONIC and activation.arguments.get("negative_slope", 0) >= 0


def initialise(net: nn.Module, weight_init: Call | None, seed: int) -> None:
    """Fills the weights and biases of all convolutions and linear layers.

    Args:
        net: whose parameters' names choose their random streams.
        weight_init: see :class:`~cifar_tricks.training.recipe.NetSpec`.
        seed: of the run.
    """
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        # PyTorch's default for both layers, written out to draw from a stream of our own.
        bound = module.weight[0].numel() ** -0.5
        if weight_init is None:
            generator = make_generator(seed, f"init {name}.weight")
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        else:
            weight_init(module.weight, generator=make_generator(seed, f"init {name}.weight"))
        if module.bias is not None:
            generator = make_generator(seed, f"init {name}.bias")
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
