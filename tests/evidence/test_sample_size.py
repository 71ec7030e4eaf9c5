"""How many seeds it would take, against simulated studies."""

from statistics import fmean

import numpy as np
import pytest

from cifar_tricks.evidence.permutation import MAX_EXACT_PAIRS, sign_flip_p
from cifar_tricks.evidence.sample_size import pairs_needed, pairs_to_resolve
from cifar_tricks.evidence.statistics import ALPHA, Summary


@pytest.mark.parametrize("mean", [0.008, -0.012])
def test_so_many_pairs_resolve_such_a_difference(mean: float) -> None:
    """Against simulated studies, judged by the study's own test."""
    comparisons, numbers = 4, np.random.default_rng(0)
    summary = Summary(n=10, mean=mean, std=0.01, interval=None)
    needed = pairs_to_resolve(summary, comparisons)
    assert needed is not None and pairs_needed(comparisons) <= needed <= MAX_EXACT_PAIRS + 14

    def share_resolved(pairs: int) -> float:
        studies = numbers.normal(mean, 0.01, (60, pairs))
        return fmean(comparisons * sign_flip_p(study) <= ALPHA for study in studies)

    assert share_resolved(needed) >= 0.65
    assert share_resolved(needed // 2) <= 0.6


def test_how_many_pairs_it_takes_has_bounds() -> None:
    def needed(mean: float, std: float | None, comparisons: int = 16) -> int | None:
        return pairs_to_resolve(Summary(n=3, mean=mean, std=std, interval=None), comparisons)

    assert needed(1.0, 1e-9) == pairs_needed(16) and needed(1.0, 1e-9, 1) == pairs_needed(1)
    assert needed(1e-9, 0.01) is None and needed(0.0, 0.01) is None and needed(0.1, None) is None
    assert [needed(0.01, std) for std in (0.01, 0.02)] == sorted(
        needed(0.01, std) or 0 for std in (0.01, 0.02)
    )
