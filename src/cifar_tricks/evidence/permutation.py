"""Permutation tests, of one comparison or of thousands: numbers in, p-values out.

All arrangements are tried where there are few enough, else a fixed random sample of them, so that
the same numbers always give the same p-value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import numpy as np

# All sign patterns of up to this many pairs are tried.
MAX_EXACT_PAIRS = 16
# All ways to split unpaired runs, up to those of ten and ten.
MAX_EXACT_SPLITS = 184_756
RESAMPLES = 99_999  # of the random sample
ROUNDING = 1e-9  # of the largest value: means closer than this count as equal
CELLS = 4_000_000  # of an array that is held at once


def sign_flip_p(differences: Sequence[float]) -> float:
    """:func:`sign_flip_ps` of one comparison."""
    return float(sign_flip_ps(np.asarray(differences, dtype=np.float64)[None])[0])


def sign_flip_ps(differences: np.ndarray) -> np.ndarray:
    """Two-sided permutation test of paired differences: the share of sign patterns whose mean is at
    least as far from zero as the one found.

    It assumes that under the hypothesis each difference is as likely with either sign, and nothing
    else.

    Args:
        differences: (comparisons, pairs).

    Returns:
        A p-value for each comparison.

    Raises:
        ValueError: fewer than two pairs, or a difference that is not finite.

    Source: Fisher (1935), The design of experiments, section 21; samples: Phipson & Smyth (2010).
    """
    pairs = differences.shape[1]
    if not np.isfinite(differences).all():
        raise ValueError(f"a sign-flip test needs finite differences, got {differences.tolist()}")
    if pairs < 2:
        raise ValueError(f"a sign-flip test needs two or more differences, got {pairs}")
    found, scale = differences.sum(1), np.abs(differences).max(1)
    if pairs <= MAX_EXACT_PAIRS:
        # Every pattern and its opposite are as far from zero: one of the two is enough.
        bits = np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs) & 1
        return _share(differences, iter([1.0 - 2.0 * bits]), found, scale, sampled=False)
    return _share(differences, _random_signs(pairs), found, scale, sampled=True)


def split_ps(ours: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Two-sided permutation test of unpaired runs: the share of ways to split all runs into two
    groups of these sizes whose means differ by at least as much as found.

    It assumes that under the hypothesis both groups are draws from one distribution.

    Args:
        ours: (comparisons, runs).
        base: (runs,), those that all comparisons share.

    Returns:
        A p-value for each comparison.

    Source: Pitman (1937), Significance tests which may be applied to samples from any populations.
    """
    size, total = ours.shape[1], ours.shape[1] + len(base)
    pooled = np.concatenate([ours, np.broadcast_to(base, (len(ours), len(base)))], 1)
    # About their common mean, the sum of one group says how far apart the two means are.
    pooled = pooled - pooled.mean(1, keepdims=True)
    found, scale = pooled[:, :size].sum(1), np.abs(pooled).max(1)
    if math.comb(total, size) <= MAX_EXACT_SPLITS:
        return _share(pooled, _all_splits(size, total), found, scale, sampled=False)
    return _share(pooled, _random_splits(size, total), found, scale, sampled=True)


def _share(
    values: np.ndarray,
    arrangements: Iterator[np.ndarray],
    found: np.ndarray,
    scale: np.ndarray,
    *,
    sampled: bool,
) -> np.ndarray:
    """The share of arrangements whose sum is at least as far from zero as the one found."""
    least = np.abs(found) - ROUNDING * values.shape[1] * scale
    count, total = np.zeros(len(values), dtype=np.int64), 0
    for chunk in arrangements:
        for rows in np.array_split(chunk, -(-len(chunk) * len(values) // CELLS)):
            count += (np.abs(rows @ values.T) >= least).sum(0)
        total += len(chunk)
    # The arrangement found counts too; all of them together hold it already.
    share: np.ndarray = (count + sampled) / (total + sampled)
    return share


def _random_signs(pairs: int) -> Iterator[np.ndarray]:
    for numbers in _random_numbers(pairs):
        yield np.where(numbers < 0.5, -1.0, 1.0)


def _all_splits(size: int, total: int) -> Iterator[np.ndarray]:
    count = math.comb(total, size)
    places = np.fromiter(chain.from_iterable(combinations(range(total), size)), np.int64)
    chosen = np.zeros((count, total))
    np.put_along_axis(chosen, places.reshape(count, size), 1.0, axis=1)
    yield chosen


def _random_splits(size: int, total: int) -> Iterator[np.ndarray]:
    for numbers in _random_numbers(total):
        chosen = np.zeros(numbers.shape)
        np.put_along_axis(chosen, np.argpartition(numbers, size, axis=1)[:, :size], 1.0, axis=1)
        yield chosen


def _random_numbers(columns: int) -> Iterator[np.ndarray]:
    """RESAMPLES rows in [0, 1), the same ones each time, a few at a time."""
    generator, rows = np.random.default_rng(0), max(1, CELLS // columns)
    for start in range(0, RESAMPLES, rows):
        yield generator.random((min(rows, RESAMPLES - start), columns))
