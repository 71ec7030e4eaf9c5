"""Permutation tests of unpaired runs, and what is promised of them, by simulation."""

import itertools
import math
from collections.abc import Callable
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cifar_tricks.evidence.permutation import RESAMPLES, sign_flip_p, sign_flip_ps, split_ps
from cifar_tricks.evidence.sample_size import runs_needed, runs_to_resolve, smallest_split_p
from cifar_tricks.evidence.statistics import ALPHA, adjust, difference, holm, t_test_p

# Thousandths, so that ties come up.
runs = st.lists(st.integers(-300, 300).map(lambda k: k / 1000), min_size=2, max_size=5)


def splits(ours: list[float], base: list[float]) -> float:
    """The two-sided p-value by trying every split, in whole numbers."""
    pooled = [round(1000 * value) for value in (*ours, *base)]
    total, size = sum(pooled), len(ours)

    def apart(chosen: tuple[int, ...]) -> int:
        part = sum(pooled[place] for place in chosen)
        return abs(part * len(base) - (total - part) * size)

    found = apart(tuple(range(size)))
    return fmean(apart(one) >= found for one in itertools.combinations(range(len(pooled)), size))


@given(runs, runs)
@settings(deadline=None, max_examples=100)
def test_every_split_is_tried(ours: list[float], base: list[float]) -> None:
    found = split_ps(np.array([ours]), np.array(base))[0]
    assert found == splits(ours, base)
    assert smallest_split_p(len(ours), len(base)) <= found <= 1
    # Neither the order, nor the unit, nor where its zero is.
    moved = split_ps(np.array([ours[::-1]]) * 7 + 100, np.array(base[::-1]) * 7 + 100)[0]
    assert moved == found


def test_many_comparisons_are_each_as_if_alone() -> None:
    generator = np.random.default_rng(0)
    for size in (6, 8, 40):  # exact, exact, sampled
        ours, base = generator.normal(0, 1, (5, size)), generator.normal(0.3, 1, 9)
        alone = [split_ps(row[None], base)[0] for row in ours]
        assert split_ps(ours, base).tolist() == alone
        assert sign_flip_ps(ours).tolist() == [sign_flip_p(row.tolist()) for row in ours]


def test_a_sample_is_always_the_same_one_and_near_the_exact_value() -> None:
    generator = np.random.default_rng(1)
    ours, base = generator.normal(0.4, 1, (3, 30)), generator.normal(0, 1, 25)
    found = split_ps(ours, base)
    assert found.tolist() == split_ps(ours, base).tolist()
    for p, row in zip(found, ours, strict=True):
        assert p == pytest.approx(stats.ttest_ind(row, base).pvalue, abs=0.01)
    assert split_ps(np.full((1, 30), 9.0) + ours[:1] / 9, base)[0] == 1 / (RESAMPLES + 1)


@given(runs, runs)
@settings(deadline=None, max_examples=60)
def test_the_difference_of_unpaired_runs_is_welchs(ours: list[float], base: list[float]) -> None:
    found = difference(ours, base)
    assert found.mean == pytest.approx(fmean(ours) - fmean(base), abs=1e-12)
    if not found.error:
        assert found.interval is not None and found.interval.low == found.interval.high
        return
    expected = stats.ttest_ind(ours, base, equal_var=False)
    assert t_test_p(found) == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))


def test_a_single_run_has_no_interval_and_no_p_value() -> None:
    found = difference([0.5], [0.4, 0.6, 0.5])
    assert found.mean == pytest.approx(0) and found.interval is None and t_test_p(found) is None


@pytest.mark.parametrize(("sizes", "spreads"), [((4, 9), (1, 3)), ((10, 10), (1, 1))])
def test_welchs_interval_covers_what_it_promises(
    sizes: tuple[int, int], spreads: tuple[float, float]
) -> None:
    generator, hits, rounds = np.random.default_rng(2), 0, 3000
    for _ in range(rounds):
        draws = (generator.normal(0, s, n) for n, s in zip(sizes, spreads, strict=True))
        interval = difference(*draws).interval  # type: ignore[arg-type]
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
    # With few runs and unequal spread Welch's is an approximation, good to about a point.
    assert abs(hits / rounds - 0.95) < 0.01 + 3 * math.sqrt(0.95 * 0.05 / rounds)


@pytest.mark.parametrize("test", ["pairs", "splits"])
def test_false_alarms_over_a_family_stay_below_five_percent(test: str) -> None:
    generator, rounds, alarms, uncorrected = np.random.default_rng(3), 400, 0, 0
    for _ in range(rounds):
        # All compared with one baseline, so not independent.
        base, ours = generator.normal(0, 1, 8), generator.normal(0, 1, (10, 8))
        found = sign_flip_ps(ours - base) if test == "pairs" else split_ps(ours, base)
        alarms += min(holm(found.tolist())) <= ALPHA
        uncorrected += min(found) <= ALPHA
    assert alarms / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert uncorrected / rounds > 0.15


def test_holes_count_as_comparisons() -> None:
    assert adjust([0.01, None, 0.02]) == pytest.approx([0.03, None, 0.04])


@pytest.mark.parametrize("comparisons", [1, 5, 16, 10_000])
def test_runs_needed(comparisons: int) -> None:
    runs = runs_needed(comparisons)
    assert comparisons * 2 / math.comb(2 * runs, runs) <= ALPHA
    assert comparisons * 2 / math.comb(2 * runs - 2, runs - 1) > ALPHA


def power_by_search(effect: float, comparisons: int, least: int, freedom: float) -> int | None:
    """The least number by trying each, with scipy's own distributions."""
    sizes = np.arange(max(2, least), 1001)
    degrees = freedom * (sizes - 1)
    critical = stats.t.ppf(1 - ALPHA / comparisons / 2, degrees)
    enough = stats.nct.sf(critical, degrees, np.minimum(effect * np.sqrt(sizes), 30)) >= 0.8
    return int(sizes[enough][0]) if enough.any() else None


@given(st.floats(0.05, 20), st.sampled_from([1, 7, 16, 2000]), st.sampled_from([1.0, 1.4, 2.0]))
@settings(deadline=None, max_examples=60)
def test_how_many_runs_it_takes_is_found_by_halving(
    effect: float, comparisons: int, freedom: float
) -> None:
    least = runs_needed(comparisons)
    found = runs_to_resolve(np.array([effect, 1.0]), comparisons, least=least, freedom=freedom)
    assert found[0] == power_by_search(effect, comparisons, least, freedom)


def test_so_many_unpaired_runs_resolve_such_a_difference() -> None:
    numbers: Callable[..., np.ndarray] = np.random.default_rng(4).normal
    (needed,) = runs_to_resolve(np.array([0.9]), 4, least=runs_needed(4), freedom=2.0)
    assert needed is not None

    def share_resolved(size: int) -> float:
        found = [
            split_ps(numbers(0.9 * 2**0.5, 1, (1, size)), numbers(0, 1, size))[0] for _ in range(40)
        ]
        return fmean(4 * p <= ALPHA for p in found)

    assert share_resolved(needed) >= 0.6 > share_resolved(needed // 2)
