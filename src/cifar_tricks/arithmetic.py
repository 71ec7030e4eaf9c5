"""Convolution arithmetic. Source: Dumoulin & Visin (2016), A guide to convolution arithmetic."""


def output_size(size: int, *, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """Height (or width) of the output of a convolution or pooling without dilation.

    Args:
        size: height (or width) of the input in pixels, >= 1.
        kernel_size: in pixels, >= 1.
        stride: in pixels, >= 1.
        padding: zeros added on each side, in pixels, >= 0.

    Returns:
        floor((size + 2 padding - kernel_size) / stride) + 1; below 1 where the kernel does not fit.

    Source: Dumoulin & Visin (2016), relationship 6.
    """
    return (size + 2 * padding - kernel_size) // stride + 1


def multiply_adds(size: int, *, channels: int, filters: int, kernel_size: int) -> int:
    """Multiply-adds of a convolution for one image, without its bias.

    Args:
        size: height (= width) of the output in pixels.
        channels: of the input.
        filters: channels of the output.
        kernel_size: in pixels.
    """
    return size**2 * filters * channels * kernel_size**2
