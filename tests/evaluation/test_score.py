"""Answers of nets as they are written down, for any number of classes."""

import json
from typing import Any

import numpy as np
import pytest

from cifar_tricks.evaluation.score import Score, calibrate, from_answers, to_answers

IMAGES = 500


def answered(num_classes: int, *, views: bool = True) -> tuple[Score, np.ndarray]:
    """A net's answers to test images, the last class among them, and the labels."""
    generator = np.random.default_rng(num_classes)
    labels = generator.integers(num_classes, size=IMAGES)
    probabilities = generator.dirichlet(np.ones(num_classes), IMAGES)
    predictions = probabilities.argmax(1).astype(np.uint16)
    predictions[-1] = labels[-1] = num_classes - 1
    probabilities[-1] = np.eye(num_classes)[-1]
    score = Score(
        key="a-b",
        seed=3,
        accuracy=float((predictions == labels).mean()),
        loss=1.5,
        calibration=calibrate(probabilities, labels),
        predictions=predictions,
        num_classes=num_classes,
        augmented=labels.astype(np.uint16) if views else None,
        augmented_accuracy=1.0 if views else None,
    )
    return score, labels


def read(answers: dict[str, Any], labels: np.ndarray, num_classes: int) -> Score:
    content = json.loads(json.dumps(answers))
    return from_answers(content, key="a-b", seed=3, labels=labels, num_classes=num_classes)


@pytest.mark.parametrize(("num_classes", "digits"), [(2, 1), (10, 1), (11, 2), (200, 3)])
def test_answers_come_back(num_classes: int, digits: int) -> None:
    score, labels = answered(num_classes)
    answers = to_answers(score)
    assert len(answers["predictions"]) == len(answers["augmented"]) == digits * IMAGES
    again = read(answers, labels, num_classes)
    assert np.array_equal(again.predictions, score.predictions)
    assert np.array_equal(again.augmented, labels)
    assert again.accuracy == score.accuracy and again.augmented_accuracy == 1.0
    assert to_answers(again) == answers


def test_ten_classes_are_written_as_ever() -> None:
    score, labels = answered(10, views=False)
    answers = to_answers(score)
    assert answers["predictions"] == "".join(map(str, score.predictions))
    assert "augmented" not in answers
    assert read(answers, labels, 10).augmented is None


@pytest.mark.parametrize(
    ("written", "asked"),
    [(200, 10), (10, 11), (11, 10), (200, 150)],
)
def test_answers_of_other_classes_are_refused(written: int, asked: int) -> None:
    score, labels = answered(written)
    with pytest.raises(ValueError, match=r"no classes|not the answers"):
        read(to_answers(score), labels, asked)
