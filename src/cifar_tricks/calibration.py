"""Whether a net is right as often as it is sure: binned confidences and their error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Predictions sorted into bins of equal width by their confidence, the largest probability.

    Args:
        images: how many fall into each bin, int64 (NUM_BINS,).
        right: how many of these were right, int64 (NUM_BINS,).
        confidence: sum of their confidences, float64 (NUM_BINS,).
    """

    images: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    def __add__(self, other: Calibration) -> Calibration:
        """Both together, for example those of several seeds."""
        return Calibration(
            images=self.images + other.images,
            right=self.right + other.right,
            confidence=self.confidence + other.confidence,
        )

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1]: the mean distance between accuracy and confidence
        over the bins, weighted by their images.

        Source: Guo et al. (2017), On calibration of modern neural networks, section 2.
        """
        return float(np.abs(self.right - self.confidence).sum() / self.images.sum())


def calibrate(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Sorts predictions into bins by confidence.

    Args:
        probabilities: of each class, float (N, classes), rows that add up to 1, N >= 1.
        labels: the right classes, int (N,).
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    # Bin k holds confidences in (k / NUM_BINS, (k + 1) / NUM_BINS].
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    return Calibration(
        images=np.bincount(bins, minlength=NUM_BINS),
        right=np.bincount(bins[right], minlength=NUM_BINS),
        confidence=np.bincount(bins, weights=confidence, minlength=NUM_BINS),
    )
