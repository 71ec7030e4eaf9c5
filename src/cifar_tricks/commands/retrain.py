"""A seed trained again, and how far another machine may be off."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev

from scipy import stats

from cifar_tricks.base.signals import stop_request
from cifar_tricks.commands.processes import DVC_TMP
from cifar_tricks.evaluation.score import Score
from cifar_tricks.evaluation.scoring import score_seed
from cifar_tricks.evaluation.test_images import read_test_images
from cifar_tricks.runs.plan import Training, check_room
from cifar_tricks.runs.publish import make_run
from cifar_tricks.runs.seed import Seed
from cifar_tricks.runs.side_by_side import train_seeds

# Another machine gives another run, as another seed would. Two runs may differ as 99.7% of pairs of
# seeds do (Student's t, as far as the other seeds on record tell), but never by more than this.
PAIR_CONFIDENCE = 0.997
LARGEST_DIFFERENCE = 0.08


def train_again(training: Training, number: int, *, graphs: bool) -> tuple[Score, str]:
    """Trains a seed, whatever is finished of it, and asks it the test images.

    Args:
        training: what to train.
        number: of the seed.
        graphs: whether a GPU records a step and replays it.

    Returns:
        Its score, and the content hash of its weights.
    """
    check_room(training, 1)
    with tempfile.TemporaryDirectory(dir=DVC_TMP, prefix="review-") as name:
        seed = Seed(training=training, number=number, folder=Path(name))
        with stop_request() as stop_requested:
            train_seeds([seed], stop_requested, graphs=graphs)
        test = read_test_images(training.test_images, training.device)
        run = make_run([seed])
        score = score_seed(training.variant, run, number, seed.folder, test=test)
    return score, run.seeds[number].weights_sha256


def largest_difference(accuracies: Sequence[float]) -> float:
    """How far two runs of a variant may be from each other.

    Args:
        accuracies: of other seeds.
    """
    if len(accuracies) < 2:
        return LARGEST_DIFFERENCE
    quantile = float(stats.t.ppf((1 + PAIR_CONFIDENCE) / 2, len(accuracies) - 1))
    return min(LARGEST_DIFFERENCE, quantile * 2**0.5 * stdev(accuracies))
