"""Solutions of the exercises that are worked out on paper: all but (b), which is an experiment.

Each takes what its exercise gives and the original report's answer, with which it is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifar_tricks.exercises.by_hand import Matrix, convolve, flip, in_columns, show_sum
from cifar_tricks.exercises.net_layers import Layer, net_layers
from cifar_tricks.training.arithmetic import kernel_sizes, output_size, same_padding
from cifar_tricks.training.recipe import IMAGE_CHANNELS, NetSpec

# In reports/<scale>. Here, since who reads them has no need of PyTorch.
FILE = "exercises.json"
FIGURE = "exercises/shift.png"
EXAMPLE_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An exercise and its solution.

    Args:
        letter: a to g.
        question: in one sentence.
        working: the calculation, as lines of plain text.
        answer: ours.
        original: the original report's.
        agrees: whether the two are the same; None where ours could not be found.
        remark: why they differ, or what else there is to say.
    """

    letter: str
    question: str
    working: tuple[str, ...] = ()
    answer: str
    original: str
    agrees: bool | None
    remark: str = ""


def solve_convolution(given: Mapping[str, Any], original: Matrix) -> Exercise:
    """(a) A convolution by hand."""
    image, kernel, padding = given["image"], given["kernel"], given["padding"]
    result = convolve(image, kernel, padding=padding)
    matrices = {"image": image, "kernel": kernel, "kernel, flipped": flip(kernel), "result": result}
    # A corner, where zeros come in, and an element in the middle.
    shown = ((0, 0), (len(result) // 2, len(result[0]) // 2))
    sums = [show_sum(image, kernel, row, column, padding) for row, column in shown]
    unflipped = convolve(image, flip(kernel), padding=padding)
    opposite = unflipped == [[-number for number in row] for row in result]
    return Exercise(
        letter="a",
        question=f"What is the convolution of the {_shape(image)} image with the {_shape(kernel)} "
        f"kernel at stride 1, with zeros {padding} pixel wide around the image?",
        working=(*in_columns(matrices), "", *sums),
        answer=_one_line(result),
        original=_one_line(original),
        agrees=result == [list(row) for row in original],
        remark="A convolution flips the kernel; what deep learning calls by this name does not"
        + (", and would change the sign of every number here." if opposite else "."),
    )


def solve_padding(given: Mapping[str, Any], original: int) -> Exercise:
    """(c) The padding that keeps the size."""
    kernel, filters = given["kernel_size"], given["filters"]
    padding = same_padding(kernel)
    check = _show_size(EXAMPLE_SIZE, kernel, 1, padding)
    return Exercise(
        letter="c",
        question=f"Which padding lets {filters} filters of {kernel} x {kernel} at stride 1 keep "
        "the height and width of their input?",
        working=(f"padding = ({kernel} - 1) / 2 = {padding}", f"for example: {check}"),
        answer=str(padding),
        original=str(original),
        agrees=padding == original,
        remark="The number of filters plays no part.",
    )


def solve_kernel(chain: Mapping[str, int], original: int) -> Exercise:
    """(d) The kernel between two sizes, the first layer of a chain.

    Args:
        chain: ``size`` and ``output`` of that layer; ``pool`` and ``pool_stride`` of the pooling
            behind it; ``second_kernel`` of the convolution behind that.
        original: the original's answer.
    """
    size, output = chain["size"], chain["output"]
    (kernel,) = kernel_sizes(size, output)
    return Exercise(
        letter="d",
        question=f"Which kernel makes {output} x {output} feature maps of a {size} x {size} image "
        "at stride 1 without padding?",
        working=(f"kernel = {size} - {output} + 1 = {kernel}", _show_size(size, kernel)),
        answer=f"{kernel} x {kernel}",
        original=f"{original} x {original}",
        agrees=kernel == original,
    )


def solve_pooling(chain: Mapping[str, int], original: int) -> Exercise:
    """(e) The pooling behind it."""
    size, output, pool, stride = (chain[k] for k in ("size", "output", "pool", "pool_stride"))
    result = output_size(output, kernel_size=pool, stride=stride)
    slip = result != original and output_size(size, kernel_size=pool, stride=stride) == original
    return Exercise(
        letter="e",
        question=f"How large are the feature maps of (d) behind {pool} x {pool} pooling at stride "
        f"{stride}?",
        working=(_show_size(output, pool, stride),),
        answer=f"{result} x {result}",
        original=f"{original} x {original}",
        agrees=result == original,
        remark=f"The original pools the {size} x {size} image instead of the {output} x {output} "
        "feature maps that (d) makes of it."
        if slip
        else "",
    )


def solve_second_convolution(chain: Mapping[str, int], original: int) -> Exercise:
    """(f) The convolution behind that."""
    pool, stride, kernel = (chain[k] for k in ("pool", "pool_stride", "second_kernel"))
    pooled = output_size(chain["output"], kernel_size=pool, stride=stride)
    result = output_size(pooled, kernel_size=kernel)
    wrong = output_size(chain["size"], kernel_size=pool, stride=stride)
    slip = result != original and output_size(wrong, kernel_size=kernel) == original
    return Exercise(
        letter="f",
        question=f"How large are those of (e) behind a further {kernel} x {kernel} convolution at "
        "stride 1 without padding?",
        working=(_show_size(pooled, kernel),),
        answer=f"{result} x {result}",
        original=f"{original} x {original}",
        agrees=result == original,
        remark=f"The original goes on from its {wrong} x {wrong} of (e)." if slip else "",
    )


def solve_parameters(spec: NetSpec, original: Mapping[str, Any]) -> Exercise:
    """(g) The parameters of a net."""
    layers = [layer for layer in net_layers(spec) if layer.parameters]
    convolutions = [layer.parameters for layer in layers if layer.kind == "convolution"]
    linear = [layer.parameters for layer in layers if layer.kind == "linear"]
    counts = [*convolutions, *linear]
    total = sum(counts)
    ours = {
        "each_convolution": convolutions,
        "convolutions": sum(convolutions),
        "fully_connected": sum(linear),
        "total": total,
    }
    size = spec.feature_map_sizes()[-1]
    inputs = [IMAGE_CHANNELS, *spec.filters[:-1], spec.filters[-1] * size**2, *spec.hidden]
    lines = [
        _show_parameters(layer, entering, spec.kernel_size)
        for layer, entering in zip(layers, inputs, strict=True)
    ]
    return Exercise(
        letter="g",
        question="How many parameters has the reference net (task 2)?",
        working=(*lines, f"{' + '.join(f'{n:,}' for n in counts)} = {total:,}"),
        answer=_show_totals(ours),
        original=_show_totals(original),
        agrees=ours == dict(original),
    )


def _show_parameters(layer: Layer, inputs: int, kernel: int) -> str:
    each = f"{inputs} * {kernel} * {kernel}" if layer.kind == "convolution" else f"{inputs}"
    name = layer.name.partition(":")[0]
    return f"{name}: {layer.output[0]} * ({each} + 1) = {layer.parameters:,}"


def _show_totals(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['total']:,} ({counts['convolutions']:,} in convolutions, "
        f"{counts['fully_connected']:,} fully connected)"
    )


def _show_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> str:
    result = output_size(size, kernel_size=kernel, stride=stride, padding=padding)
    return f"floor(({size} + 2*{padding} - {kernel}) / {stride}) + 1 = {result}"


def _shape(matrix: Matrix) -> str:
    return f"{len(matrix)} x {len(matrix[0])}"


def _one_line(matrix: Matrix) -> str:
    return " / ".join(" ".join(str(number) for number in row) for row in matrix)
