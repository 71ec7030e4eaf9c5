"""A convolution as it is worked out by hand: one sum of products per element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cifar_tricks.training.arithmetic import output_size

Matrix = Sequence[Sequence[int]]


def flip(kernel: Matrix) -> list[list[int]]:
    """The kernel turned upside down and left to right."""
    return [list(row[::-1]) for row in kernel[::-1]]


def convolve(image: Matrix, kernel: Matrix, *, padding: int) -> list[list[int]]:
    """A true convolution at stride 1: the kernel is flipped before it slides over the image.

    Args:
        image: rows of pixels.
        kernel: rows of weights.
        padding: zeros on each side of the image.

    Source: Dumoulin & Visin (2016), section 1.1, whose kernel is not flipped.
    """
    rows = output_size(len(image), kernel_size=len(kernel), padding=padding)
    columns = output_size(len(image[0]), kernel_size=len(kernel[0]), padding=padding)
    return [
        [
            sum(pixel * weight for pixel, weight in products(image, kernel, row, column, padding))
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def products(
    image: Matrix, kernel: Matrix, row: int, column: int, padding: int
) -> list[tuple[int, int]]:
    """What an element of the convolution adds up: each pixel below the flipped kernel, 0 in the
    padding, and the weight above it; row by row."""
    pairs = []
    for i, weights in enumerate(flip(kernel), start=row - padding):
        for j, weight in enumerate(weights, start=column - padding):
            inside = 0 <= i < len(image) and 0 <= j < len(image[0])
            pairs.append((image[i][j] if inside else 0, weight))
    return pairs


def show_sum(image: Matrix, kernel: Matrix, row: int, column: int, padding: int) -> str:
    """The sum of one element, e.g. "row 1, column 1: 0*1 + 2*(-1) = -2"; rows and columns count
    from 0 here and from 1 in the text."""
    pairs = products(image, kernel, row, column, padding)
    terms = [f"{pixel}*{weight if weight >= 0 else f'({weight})'}" for pixel, weight in pairs]
    total = sum(pixel * weight for pixel, weight in pairs)
    return f"row {row + 1}, column {column + 1}: {' + '.join(terms)} = {total}"


def in_columns(matrices: Mapping[str, Matrix]) -> list[str]:
    """Lines of text with the matrices next to each other, each below its name."""
    blocks = []
    for name, matrix in matrices.items():
        digits = max(len(str(number)) for row in matrix for number in row)
        lines = [name, *(" ".join(f"{number:{digits}}" for number in row) for row in matrix)]
        blocks.append([line.ljust(max(map(len, lines))) for line in lines])
    height = max(map(len, blocks))
    padded = [block + [" " * len(block[0])] * (height - len(block)) for block in blocks]
    return ["    ".join(lines).rstrip() for lines in zip(*padded, strict=True)]
