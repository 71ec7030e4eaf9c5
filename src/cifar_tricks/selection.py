"""What it promises to choose the best of many nets on test images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """What choosing the best net on images promises, and what it keeps.

    Args:
        chosen: mean accuracy of the chosen net on the images that it was chosen on.
        honest: its mean accuracy on the other images.
        optimism: the first minus the second.
        std: of that difference over the random halves.
    """

    chosen: float
    honest: float
    optimism: float
    std: float


def selection_optimism(right: np.ndarray, *, splits: int = 1000, seed: int = 0) -> Optimism:
    """What choosing a net on test images promises too much.

    The images are halved at random; the net that is best on one half (the first of equal ones) is
    measured on the other, and the other way round.

    Args:
        right: which images each net got right, bool (nets, images).
        splits: how many random halves.
        seed: of the halves.

    Raises:
        ValueError: fewer than two nets or images.
    """
    nets, images = right.shape
    if nets < 2 or images < 2:
        raise ValueError(f"choosing needs two nets and two images, got {nets} and {images}")
    generator, half = np.random.default_rng(seed), images // 2
    order = np.argsort(generator.random((splits, images)), axis=1)
    first = np.zeros((splits, images), dtype=np.float32)
    np.put_along_axis(first, order[:, :half], 1.0, axis=1)
    counts = first @ right.T.astype(np.float32)
    totals = right.sum(1)
    chosen, honest = np.empty((2, splits)), np.empty((2, splits))
    sides = ((counts, half), (totals - counts, images - half))
    for side, (ours, size) in enumerate(sides):
        best = ours.argmax(1)[:, None]
        other, other_size = sides[1 - side]
        chosen[side] = np.take_along_axis(ours, best, 1)[:, 0] / size
        honest[side] = np.take_along_axis(other, best, 1)[:, 0] / other_size
    gaps = (chosen - honest).mean(0)
    return Optimism(
        chosen=float(chosen.mean()),
        honest=float(honest.mean()),
        optimism=float(gaps.mean()),
        std=float(gaps.std(ddof=1)) if splits > 1 else 0.0,
    )
