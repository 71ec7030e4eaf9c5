"""The arithmetic agrees with what PyTorch does, on thousands of random layers."""

import subprocess
import sys

import pytest
import torch
from helpers.project import ROOT
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cifar_tricks.training import arithmetic
from cifar_tricks.training.arithmetic import ReceptiveField, kernel_sizes, output_size, same_padding

many = settings(max_examples=1000, deadline=None)
sizes, counts = st.integers(1, 80), st.integers(1, 40)
kernels, strides, paddings = st.integers(1, 12), st.integers(1, 6), st.integers(0, 6)


def empty(*shape: int) -> torch.Tensor:
    """A tensor without values: PyTorch computes the shapes only."""
    return torch.empty(*shape, device="meta")


@many
@given(height=sizes, width=sizes, kernel=kernels, stride=strides, padding=paddings)
def test_size_of_a_convolution(
    height: int, width: int, kernel: int, stride: int, padding: int
) -> None:
    ours = [
        output_size(size, kernel_size=kernel, stride=stride, padding=padding)
        for size in (height, width)
    ]
    layer = nn.Conv2d(2, 3, kernel, stride, padding, device="meta")
    if min(ours) < 1:
        with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
            layer(empty(1, 2, height, width))
    else:
        assert layer(empty(1, 2, height, width)).shape == (1, 3, *ours)


@many
@given(size=sizes, window=kernels, stride=strides, padding=paddings)
def test_size_of_a_pooling(size: int, window: int, stride: int, padding: int) -> None:
    padding = min(padding, window // 2)  # more than that, PyTorch refuses
    ours = output_size(size, kernel_size=window, stride=stride, padding=padding)
    assume(ours >= 1)
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert pool(empty(1, 2, size, size), window, stride, padding).shape == (1, 2, ours, ours)


@many
@given(size=sizes, kernel=kernels)
def test_same_padding_keeps_the_size_or_there_is_none(size: int, kernel: int) -> None:
    if kernel % 2:
        padding = same_padding(kernel)
        assert F.conv2d(
            empty(1, 1, size, size), empty(1, 1, kernel, kernel), padding=padding
        ).shape == (1, 1, size, size)
    else:
        with pytest.raises(ValueError, match=f"kernel_size = {kernel}"):
            same_padding(kernel)
        fitting = [p for p in range(20) if output_size(size, kernel_size=kernel, padding=p) == size]
        assert not fitting


@many
@given(size=st.integers(1, 30), output=st.integers(1, 30), stride=strides, padding=paddings)
def test_kernel_sizes_are_all_that_fit(size: int, output: int, stride: int, padding: int) -> None:
    fitting = [
        kernel
        for kernel in range(1, size + 2 * padding + 1)
        if output_size(size, kernel_size=kernel, stride=stride, padding=padding) == output
    ]
    if fitting:
        assert list(kernel_sizes(size, output, stride=stride, padding=padding)) == fitting
    else:
        with pytest.raises(ValueError, match="no kernel makes"):
            kernel_sizes(size, output, stride=stride, padding=padding)


@many
@given(channels=counts, filters=counts, kernel=kernels, bias=st.booleans())
def test_parameters(channels: int, filters: int, kernel: int, bias: bool) -> None:
    def count(layer: nn.Module) -> int:
        return sum(values.numel() for values in layer.parameters())

    assert arithmetic.conv_parameters(
        channels, filters=filters, kernel_size=kernel, bias=bias
    ) == count(nn.Conv2d(channels, filters, kernel, bias=bias, device="meta"))
    assert arithmetic.linear_parameters(channels, outputs=filters, bias=bias) == count(
        nn.Linear(channels, filters, bias=bias, device="meta")
    )
    for norm in (nn.BatchNorm1d, nn.BatchNorm2d):
        assert arithmetic.batch_norm_parameters(channels) == count(norm(channels, device="meta"))


@settings(max_examples=500, deadline=None)
@given(size=sizes, channels=counts, filters=counts, kernel=kernels, stride=strides, pad=paddings)
def test_multiply_adds(
    size: int, channels: int, filters: int, kernel: int, stride: int, pad: int
) -> None:
    out = output_size(size, kernel_size=kernel, stride=stride, padding=pad)
    assume(out >= 1)
    with FlopCounterMode(display=False) as counter:
        nn.Conv2d(channels, filters, kernel, stride, pad, device="meta")(
            empty(1, channels, size, size)
        )
    # A multiply-add is two floating point operations.
    ours = arithmetic.multiply_adds(out, channels=channels, filters=filters, kernel_size=kernel)
    assert 2 * ours == counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        nn.Linear(channels, filters, device="meta")(empty(1, channels))
    ours = arithmetic.linear_multiply_adds(channels, outputs=filters)
    assert 2 * ours == counter.get_total_flops()


layer = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.booleans())


def influences(layers: list[tuple[int, int, int, bool]], pixels: int) -> torch.Tensor | None:
    """Which of the pixels in a row change which elements of the output: bool (pixels, outputs).

    Measured: of a black image, one pixel after the other is made white. With positive weights
    nothing cancels out.
    """
    features = torch.eye(pixels, dtype=torch.float64)[:, None]
    for kernel, stride, padding, is_pooling in layers:
        if features.shape[-1] + 2 * padding < kernel:
            return None
        if is_pooling:
            features = F.max_pool1d(features, kernel, stride, padding)
        else:
            weight = torch.ones(1, 1, kernel, dtype=torch.float64)
            features = F.conv1d(features, weight, stride=stride, padding=padding)
    return features[:, 0] > 0


@many
@given(layers=st.lists(layer, max_size=5), pixels=st.integers(1, 60))
def test_receptive_field_is_what_pixels_can_influence(
    layers: list[tuple[int, int, int, bool]], pixels: int
) -> None:
    layers = [(k, s, min(p, k // 2) if pool else p, pool) for k, s, p, pool in layers]
    field = arithmetic.receptive_field(layer[:3] for layer in layers)
    measured = influences(layers, pixels)
    assume(measured is not None)
    assert measured is not None
    # With a stride above the kernel size there are gaps in it.
    dense = all(stride <= kernel for kernel, stride, *_ in layers)
    for place, seen in enumerate(measured.T):
        first = field.start + place * field.jump
        found, whole = seen.nonzero().flatten().tolist(), range(first, first + field.size)
        assert set(found) <= set(whole)
        # At the border, padding has taken the place of a part of it.
        if first >= 0 and whole.stop <= pixels:
            assert found == list(whole) if dense else (found[0], found[-1]) == (first, whole[-1])


def test_receptive_field_of_the_first_blocks_of_the_reference_net() -> None:
    """Convolution 5 x 5 and max-pooling 2 x 2, three times; worked out by hand."""
    chain = [(5, 1, 2), (2, 2, 0)] * 3
    fields = [arithmetic.receptive_field(chain[:depth]) for depth in range(7)]
    assert [field.size for field in fields] == [1, 5, 6, 14, 16, 32, 36]
    assert [field.jump for field in fields] == [1, 1, 2, 2, 4, 4, 8]
    assert fields[6] == ReceptiveField(size=36, jump=8, start=-2 - 4 - 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(0, kernel_size=1), "size = 0: at least 1"),
        (lambda: output_size(8, kernel_size=0), "kernel_size = 0"),
        (lambda: output_size(8, kernel_size=1, stride=0), "stride = 0"),
        (lambda: output_size(8, kernel_size=1, padding=-1), "padding = -1: at least 0"),
        (lambda: same_padding(0), "kernel_size = 0"),
        (lambda: kernel_sizes(8, 0), "output = 0"),
        (lambda: kernel_sizes(8, 9), "no kernel makes 9 of 8 pixels"),
        (lambda: arithmetic.conv_parameters(3, filters=0, kernel_size=1), "filters = 0"),
        (lambda: arithmetic.linear_parameters(0, outputs=1), "inputs = 0"),
        (lambda: arithmetic.linear_multiply_adds(1, outputs=0), "outputs = 0"),
        (lambda: arithmetic.batch_norm_parameters(0), "channels = 0"),
        (
            lambda: arithmetic.multiply_adds(0, channels=1, filters=1, kernel_size=1),
            "size = 0",
        ),
        (lambda: ReceptiveField().behind(kernel_size=2, stride=0), "stride = 0"),
    ],
)
def test_what_has_no_answer_is_an_error(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_slow_is_imported() -> None:
    code = (
        "import sys, cifar_tricks.training.arithmetic; print({'torch', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
