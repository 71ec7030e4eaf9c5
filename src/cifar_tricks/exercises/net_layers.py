"""A convolutional net layer by layer: shapes, parameters, receptive fields and multiply-adds.

Computed from the net's description; the tests compare them with the net that PyTorch builds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from cifar_tricks.training import arithmetic
from cifar_tricks.training.arithmetic import ReceptiveField, output_size
from cifar_tricks.training.call import Call
from cifar_tricks.training.recipe import IMAGE_CHANNELS, NetSpec

BATCH_NORMS = ("torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with parameters, or one that changes the shape.

    Args:
        kind: convolution, norm, pooling, activation (only with parameters) or linear.
        name: what a table calls it.
        output: shape of its output for one image: channels, height, width; or units.
        parameters: trained values.
        receptive_field: height (= width) in pixels of the part of the image that an element of the
            output depends on, the padding around it included; not limited by the image's size.
        multiply_adds: for one image; 0 for what is neither convolution nor fully connected.
    """

    kind: str
    name: str
    output: tuple[int, ...]
    parameters: int = 0
    receptive_field: int
    multiply_adds: int = 0


def net_layers(spec: NetSpec) -> list[Layer]:
    """The layers of a net for one image, the first one first.

    Activations and dropout change no shape and, as a rule, have no parameters: they are left out.

    Raises:
        ValueError: the feature map shrinks to nothing.
    """
    layers: list[Layer] = []
    field, size, channels = ReceptiveField(), spec.image_size, IMAGE_CHANNELS
    if spec.stem is not None:
        layers = _stem(spec, spec.stem)
        field, size = field.behind(kernel_size=spec.stem), layers[0].output[-1]
        channels = spec.channels
    for number, filters in enumerate(spec.filters, start=1):
        block, field = _block(spec, number, channels, filters, size, field)
        layers += block
        channels, size = filters, block[-1].output[-1]
    # A fully connected layer is a convolution whose kernel covers the whole feature map.
    seen = field.behind(kernel_size=size).size
    if spec.pool_all:
        layers.append(replace(_pooling(channels, size, size, field), output=(channels, 1, 1)))
    return [*layers, *_fully_connected(spec, spec.features, seen)]


def describe_net(spec: NetSpec) -> dict[str, Any]:
    """The layers and their totals, as JSON values."""
    layers = net_layers(spec)
    return {
        "layers": [asdict(layer) for layer in layers],
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
    }


def _stem(spec: NetSpec, kernel: int) -> list[Layer]:
    """The convolution in front of the blocks, of which only the biases are trained."""
    size = output_size(spec.image_size, kernel_size=kernel)
    convolution = Layer(
        kind="convolution",
        name=f"convolution 0: {kernel} x {kernel}, stride 1, padding 0, frozen",
        output=(spec.channels, size, size),
        parameters=spec.channels,
        receptive_field=kernel,
        multiply_adds=arithmetic.multiply_adds(
            size, channels=IMAGE_CHANNELS, filters=spec.channels, kernel_size=kernel
        ),
    )
    return [convolution, *_in_place(None, spec.activation, convolution)]


def _pooling(channels: int, size: int, window: int, before: ReceptiveField) -> Layer:
    return Layer(
        kind="pooling",
        name=f"max-pooling {window} x {window}, stride {window}",
        output=(channels, *2 * (output_size(size, kernel_size=window, stride=window),)),
        receptive_field=before.behind(kernel_size=window, stride=window).size,
    )


def _block(
    spec: NetSpec, number: int, channels: int, filters: int, size: int, field: ReceptiveField
) -> tuple[list[Layer], ReceptiveField]:
    """Convolution, norm, activation and pooling, and the receptive field behind them; ``size`` and
    ``field`` are those before."""
    kernel, stride, padding = spec.kernel_size, spec.stride, spec.padding
    size = output_size(size, kernel_size=kernel, stride=stride, padding=padding)
    field = field.behind(kernel_size=kernel, stride=stride, padding=padding)
    convolution = Layer(
        kind="convolution",
        name=f"convolution {number}: {kernel} x {kernel}, stride {stride}, padding {padding}",
        output=(filters, size, size),
        parameters=arithmetic.conv_parameters(
            channels, filters=filters, kernel_size=kernel, bias=spec.conv_bias
        ),
        receptive_field=field.size,
        multiply_adds=arithmetic.multiply_adds(
            size, channels=channels, filters=filters, kernel_size=kernel
        ),
    )
    pool = spec.pool_after(number - 1)
    if pool is None:
        return [convolution, *_in_place(spec.norm_2d, spec.activation, convolution)], field
    pooling = _pooling(filters, size, pool, field)
    before = pooling if spec.pool_early else convolution
    in_place = _in_place(spec.norm_2d, spec.activation, before)
    layers = [pooling, *in_place] if spec.pool_early else [*in_place, pooling]
    return [convolution, *layers], field.behind(kernel_size=pool, stride=pool)


def _fully_connected(spec: NetSpec, inputs: int, seen: int) -> Iterator[Layer]:
    for number, outputs in enumerate((*spec.hidden, spec.num_classes), start=1):
        linear = Layer(
            kind="linear",
            name=f"fully connected {number}",
            output=(outputs,),
            parameters=arithmetic.linear_parameters(inputs, outputs=outputs),
            receptive_field=seen,
            multiply_adds=arithmetic.linear_multiply_adds(inputs, outputs=outputs),
        )
        yield linear
        if number <= len(spec.hidden):
            yield from _in_place(spec.norm_1d, spec.activation, linear)
        inputs = outputs


def _in_place(norm: Call | None, activation: Call, before: Layer) -> Iterator[Layer]:
    """Norm and activation, which leave the shape as it is."""
    same = replace(before, parameters=0, multiply_adds=0)
    if norm is not None:
        name = "batch norm" if norm.target in BATCH_NORMS else _class_name(norm)
        own = _own_parameters(norm, before.output[0])
        yield replace(same, kind="norm", name=name, parameters=own)
    if own := _own_parameters(activation):
        yield replace(same, kind="activation", name=_class_name(activation), parameters=own)


def _class_name(call: Call) -> str:
    return call.target.rpartition(".")[2]


def _own_parameters(call: Call, *arguments: int) -> int:
    """Trained values of a norm or an activation."""
    if call.target in BATCH_NORMS and call.arguments.get("affine", True):
        return arithmetic.batch_norm_parameters(*arguments)
    # A trick may fill these slots with anything (a PReLU learns its slope): the module itself says.
    module = call(*arguments)
    return sum(values.numel() for values in module.parameters() if values.requires_grad)
