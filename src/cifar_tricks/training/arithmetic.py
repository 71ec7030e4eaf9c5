"""Convolution arithmetic: sizes, parameters, receptive fields and multiply-adds of layers.

Sizes are those of one dimension, height or width; what is not square takes one call for each.
Layers have no dilation. Every function raises ValueError for an argument out of its range. Nothing
here imports anything that is slow to load: params.yaml is checked with it.

Source: Dumoulin & Visin (2016), A guide to convolution arithmetic for deep learning; Araujo, Norris
& Sim (2019), Computing receptive fields of convolutional neural networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def output_size(size: int, *, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """Height (or width) of the output of a convolution or pooling without dilation.

    Args:
        size: height (or width) of the input in pixels, >= 1.
        kernel_size: or pooling window, in pixels, >= 1.
        stride: in pixels, >= 1.
        padding: zeros added on each side, in pixels, >= 0.

    Returns:
        floor((size + 2 padding - kernel_size) / stride) + 1; below 1 where the kernel does not fit.

    Source: Dumoulin & Visin (2016), relationship 6; 7 for pooling without padding.
    """
    _at_least(1, size=size, kernel_size=kernel_size, stride=stride)
    _at_least(0, padding=padding)
    return (size + 2 * padding - kernel_size) // stride + 1


def same_padding(kernel_size: int) -> int:
    """Zeros on each side, in pixels, with which stride 1 leaves height and width as they are.

    Args:
        kernel_size: in pixels, odd.

    Raises:
        ValueError: the kernel is even: it needs an odd number of zeros in all, so one side would
            get one more than the other, and which one is a convention that frameworks differ in.

    Source: Dumoulin & Visin (2016), relationship 3.
    """
    _at_least(1, kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size = {kernel_size}: even, no padding of both sides keeps a size"
        )
    return (kernel_size - 1) // 2


def kernel_sizes(size: int, output: int, *, stride: int = 1, padding: int = 0) -> range:
    """All kernel sizes, in pixels, that turn one size into another: at stride 1 it is one.

    Args:
        size: height (or width) of the input in pixels, >= 1.
        output: that of the output, >= 1.
        stride: in pixels, >= 1.
        padding: zeros added on each side, in pixels, >= 0.

    Returns:
        Ascending; at most ``stride`` of them, fewer where the smallest would be below 1.

    Raises:
        ValueError: no kernel does it.

    Source: Dumoulin & Visin (2016), relationship 6, solved for the kernel.
    """
    _at_least(1, size=size, output=output, stride=stride)
    _at_least(0, padding=padding)
    largest = size + 2 * padding - (output - 1) * stride
    if largest < 1:
        raise ValueError(
            f"no kernel makes {output} of {size} pixels at stride {stride} and padding {padding}"
        )
    return range(max(1, largest - stride + 1), largest + 1)


def conv_parameters(channels: int, *, filters: int, kernel_size: int, bias: bool = True) -> int:
    """Weights and biases of a convolution with square kernels.

    Args:
        channels: of the input, >= 1.
        filters: channels of the output, >= 1.
        kernel_size: in pixels, >= 1.
        bias: whether each filter has one.
    """
    _at_least(1, channels=channels, filters=filters, kernel_size=kernel_size)
    return filters * (channels * kernel_size**2 + bias)


def linear_parameters(inputs: int, *, outputs: int, bias: bool = True) -> int:
    """Weights and biases of a fully connected layer.

    Args:
        inputs: units that go in, >= 1.
        outputs: units that come out, >= 1.
        bias: whether each of these has one.
    """
    _at_least(1, inputs=inputs, outputs=outputs)
    return outputs * (inputs + bias)


def batch_norm_parameters(channels: int) -> int:
    """Trained values of a batch norm: a scale and a shift per channel (>= 1). The running mean and
    variance are not trained and not counted.

    Source: Ioffe & Szegedy (2015), Batch normalization, algorithm 1.
    """
    _at_least(1, channels=channels)
    return 2 * channels


def multiply_adds(size: int, *, channels: int, filters: int, kernel_size: int) -> int:
    """Multiply-adds of a convolution for one image, without its bias; those with padded zeros
    count.

    Args:
        size: height (= width) of the output in pixels, >= 1.
        channels: of the input, >= 1.
        filters: channels of the output, >= 1.
        kernel_size: in pixels, >= 1.
    """
    _at_least(1, size=size, channels=channels, filters=filters, kernel_size=kernel_size)
    return size**2 * filters * channels * kernel_size**2


def linear_multiply_adds(inputs: int, *, outputs: int) -> int:
    """Multiply-adds of a fully connected layer for one image, without its bias.

    Args:
        inputs: units that go in, >= 1.
        outputs: units that come out, >= 1.
    """
    return linear_parameters(inputs, outputs=outputs, bias=False)


@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """Which pixels of the image an element of a feature map can depend on; at first, its own.

    All of them away from the border; near it, some lie in the padding, or are lost to it.

    Args:
        size: height (= width) of its receptive field in pixels.
        jump: how far the fields of neighbours lie apart, in pixels.
        start: first pixel of the first element's field; negative in the padding.
    """

    size: int = 1
    jump: int = 1
    start: int = 0

    def behind(self, *, kernel_size: int, stride: int = 1, padding: int = 0) -> ReceptiveField:
        """The same one convolution or pooling further on, see :func:`output_size`.

        Source: Araujo et al. (2019), "Computing receptive field size" and "... region".
        """
        _at_least(1, kernel_size=kernel_size, stride=stride)
        _at_least(0, padding=padding)
        return ReceptiveField(
            size=self.size + (kernel_size - 1) * self.jump,
            jump=self.jump * stride,
            start=self.start - padding * self.jump,
        )


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> ReceptiveField:
    """The receptive field behind a chain of convolutions and poolings.

    Args:
        layers: kernel size, stride and padding of each, in pixels, the first one first.

    Source: Araujo et al. (2019), "Computing receptive field size".
    """
    field = ReceptiveField()
    for kernel_size, stride, padding in layers:
        field = field.behind(kernel_size=kernel_size, stride=stride, padding=padding)
    return field


def _at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} = {value}: at least {minimum}")
