"""What a net answers to the test images, how well, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Score:
    """One trained net on all test images.

    Args:
        key: of the variant.
        seed: of the run.
        accuracy: in [0, 1].
        loss: cross-entropy in nats, None if not finite.
        calibration: its confidences against its answers.
        predictions: class of every test image in the official order, uint16 (N,).
        num_classes: of the data set.
        augmented: the same by the mean answer to several views of each image, where the recipe has
            such views.
        augmented_accuracy: of these, in [0, 1].
    """

    key: str
    seed: int
    accuracy: float
    loss: float | None
    calibration: Calibration
    predictions: np.ndarray
    num_classes: int
    augmented: np.ndarray | None = None
    augmented_accuracy: float | None = None


def to_answers(score: Score) -> dict[str, Any]:
    """The score as JSON values: ``images`` (how many), ``loss``, ``calibration`` by bin, and
    ``predictions``, as many digits for each test image in the official order as the last class has;
    likewise ``augmented``, where there are views."""
    bins = score.calibration
    views = (
        {}
        if score.augmented is None
        else {"augmented": _digits(score.augmented, score.num_classes)}
    )
    return {
        "images": len(score.predictions),
        "loss": score.loss,
        "calibration": {
            "images": bins.images.tolist(),
            "right": bins.right.tolist(),
            "confidence": bins.confidence.tolist(),
        },
        "predictions": _digits(score.predictions, score.num_classes),
        **views,
    }


def _width(num_classes: int) -> int:
    """Digits of the last class."""
    return len(str(num_classes - 1))


def _digits(classes: np.ndarray, num_classes: int) -> str:
    width = _width(num_classes)
    return "".join(f"{number:0{width}}" for number in classes.tolist())


def _classes(digits: str, num_classes: int) -> np.ndarray:
    width = _width(num_classes)
    values = np.frombuffer(digits.encode("ascii"), np.uint8) - ord("0")
    if values.max(initial=0) > 9 or len(values) % width:
        raise ValueError("these are no classes")
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.uint16)
    classes: np.ndarray = values.reshape(-1, width).astype(np.uint16) @ powers
    if classes.max(initial=0) >= num_classes:
        raise ValueError("these are no classes")
    return classes


def from_answers(
    content: Mapping[str, Any], *, key: str, seed: int, labels: np.ndarray, num_classes: int
) -> Score:
    """The score again.

    Args:
        content: of :func:`to_answers`.
        key: of the variant.
        seed: of the run.
        labels: of the test images, int64 (N,).
        num_classes: of the data set.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: these are no answers to N test images, or
            they contradict themselves.
    """
    predictions = _classes(content["predictions"], num_classes)
    views = content.get("augmented")
    augmented = None if views is None else _classes(views, num_classes)
    bins = {name: np.asarray(content["calibration"][name]) for name in ("images", "right")}
    confidence = np.asarray(content["calibration"]["confidence"], np.float64)
    right = int((predictions == labels).sum()) if predictions.shape == labels.shape else -1
    if (
        any(values.shape != (NUM_BINS,) for values in (*bins.values(), confidence))
        or int(bins["images"].sum()) != len(labels)
        or int(bins["right"].sum()) != right
        or (augmented is not None and augmented.shape != labels.shape)
    ):
        raise ValueError(f"these are not the answers to {len(labels)} test images")
    return Score(
        key=key,
        seed=seed,
        accuracy=right / len(labels),
        loss=content["loss"],
        calibration=Calibration(confidence=confidence, **bins),
        predictions=predictions,
        num_classes=num_classes,
        augmented=augmented,
        augmented_accuracy=None if augmented is None else float((augmented == labels).mean()),
    )


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
