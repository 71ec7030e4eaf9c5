"""A net's answers to the test images as JSON values: all of its score, so that it is asked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cifar_tricks.calibration import NUM_BINS, Calibration
from cifar_tricks.scores import Score


def to_answers(score: Score) -> dict[str, Any]:
    """The score as JSON values: ``images`` (how many), ``loss``, ``calibration`` by bin, and
    ``predictions``, one digit for each test image in the official order."""
    bins = score.calibration
    return {
        "images": len(score.predictions),
        "loss": score.loss,
        "calibration": {
            "images": bins.images.tolist(),
            "right": bins.right.tolist(),
            "confidence": bins.confidence.tolist(),
        },
        "predictions": "".join(map(str, score.predictions.tolist())),
    }


def from_answers(content: Mapping[str, Any], *, key: str, seed: int, labels: np.ndarray) -> Score:
    """The score again.

    Args:
        content: of :func:`to_answers`.
        key: of the variant.
        seed: of the run.
        labels: of the test images, int64 (N,).

    Raises:
        ValueError, TypeError, KeyError, AttributeError: these are no answers to N test images, or
            they contradict themselves.
    """
    predictions = np.frombuffer(content["predictions"].encode("ascii"), np.uint8) - ord("0")
    bins = {name: np.asarray(content["calibration"][name]) for name in ("images", "right")}
    confidence = np.asarray(content["calibration"]["confidence"], np.float64)
    right = int((predictions == labels).sum()) if predictions.shape == labels.shape else -1
    if (
        predictions.max(initial=0) > 9
        or any(values.shape != (NUM_BINS,) for values in (*bins.values(), confidence))
        or int(bins["images"].sum()) != len(labels)
        or int(bins["right"].sum()) != right
    ):
        raise ValueError(f"these are not the answers to {len(labels)} test images")
    return Score(
        key=key,
        seed=seed,
        accuracy=right / len(labels),
        loss=content["loss"],
        calibration=Calibration(confidence=confidence, **bins),
        predictions=predictions,
    )
