"""Every statistic against an independent calculation, its invariants, and its promises by
simulation."""

import itertools
import math
from collections.abc import Callable
from statistics import stdev

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from cifar_tricks.evaluation.score import NUM_BINS, calibrate
from cifar_tricks.evidence.answers import mcnemar, wilson
from cifar_tricks.evidence.early_stopping import regress_within
from cifar_tricks.evidence.factorials import factorial_effects
from cifar_tricks.evidence.permutation import sign_flip_p
from cifar_tricks.evidence.sample_size import pairs_needed, smallest_p
from cifar_tricks.evidence.sampling import selection_optimism
from cifar_tricks.evidence.statistics import (
    ALPHA,
    compare,
    holm,
    summarise,
)
from cifar_tricks.evidence.verdicts import CONFIRMED, CONTRADICTED, NOT_RESOLVED, Claim, verdict

# Differences of accuracies: thousandths, so that ties and zeros come up.
differences = st.lists(st.integers(-300, 300).map(lambda k: k / 1000), min_size=2, max_size=10)
# As the study computes them: with the rounding errors of a subtraction, and with many ties.
few_images = st.lists(st.integers(-9, 9), min_size=2, max_size=9)


def flips(values: np.ndarray) -> float:
    """The two-sided sign-flip p-value by trying every pattern, in whole numbers."""
    whole = np.round(values * 1000).astype(int)
    found = abs(whole.sum())
    patterns = itertools.product([-1, 1], repeat=len(whole))
    return float(np.mean([abs((whole * pattern).sum()) >= found for pattern in patterns]))


@given(differences)
@settings(deadline=None, max_examples=60)
def test_summary_is_that_of_scipy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert summary.std == pytest.approx(stdev(values), abs=1e-12)
    assert summary.interval is not None
    if summary.std:
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (summary.interval.low, summary.interval.high) == pytest.approx(tuple(expected))


@given(differences, st.floats(-1, 1), st.floats(0.1, 10))
@settings(deadline=None, max_examples=60)
def test_an_interval_moves_and_grows_with_its_data(
    values: list[float], shift: float, factor: float
) -> None:
    before = summarise(values).interval
    after = summarise([factor * value + shift for value in values]).interval
    assert before is not None and after is not None
    moved = (factor * before.low + shift, factor * before.high + shift)
    assert (after.low, after.high) == pytest.approx(moved, abs=1e-9)


@given(differences.filter(lambda values: len(set(values)) > 1))
@settings(deadline=None, max_examples=60)
def test_an_interval_shrinks_with_n(values: list[float]) -> None:
    few, many = summarise(values).interval, summarise(values * 4).interval
    assert few is not None and many is not None
    assert many.high - many.low < few.high - few.low


def test_one_run_has_no_interval_and_no_p_value() -> None:
    comparison = compare([0.02])
    assert comparison.summary.std is comparison.summary.interval is None
    assert comparison.p_value is comparison.prediction is None


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf]])
def test_no_summary_of_nothing(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarise(values)


def test_prediction_interval_covers_a_further_pair() -> None:
    generator = np.random.default_rng(0)
    hits, rounds = 0, 600
    for _ in range(rounds):
        *known, further = generator.normal(0.01, 0.02, 6)
        found = compare(known).prediction
        assert found is not None
        hits += found.low <= further <= found.high
    assert abs(hits / rounds - 0.95) < 3 * math.sqrt(0.95 * 0.05 / rounds)
    half = stats.t.ppf(0.975, 4) * stdev(known) * math.sqrt(1 + 1 / 5)
    assert (found.low, found.high) == pytest.approx((np.mean(known) - half, np.mean(known) + half))


@given(differences)
@settings(deadline=None, max_examples=60)
def test_sign_flip_tries_every_pattern(values: list[float]) -> None:
    assert sign_flip_p(values) == pytest.approx(flips(np.array(values)))


@given(few_images, st.sampled_from([50, 1000, 10_000]))
@example([-1, -1, 2, 3], 10_000)
@settings(deadline=None, max_examples=150)
def test_sign_flip_counts_ties(images: list[int], total: int) -> None:
    base = 0.7 * total
    values = [(base + more) / total - base / total for more in images]
    assert sign_flip_p(values) == flips(np.array(images) / 1000)


@given(differences, st.randoms(use_true_random=False), st.sampled_from([0.01, 3.0, 1000.0]))
@settings(deadline=None, max_examples=60)
def test_sign_flip_does_not_care_about_sides_order_and_scale(
    values: list[float], random: object, factor: float
) -> None:
    p_value = sign_flip_p(values)
    assert sign_flip_p([-value for value in values]) == p_value
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sign_flip_p(shuffled) == p_value
    assert sign_flip_p([factor * value for value in values]) == p_value
    assert smallest_p(len(values)) <= p_value <= 1


def test_sign_flip_at_its_ends() -> None:
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    assert sign_flip_p([0.1] * 6) == smallest_p(6) == 2 / 64
    assert sign_flip_p([0.1] * 40) == 1 / 100_000
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p([0.1, math.nan])
    with pytest.raises(ValueError, match="two or more"):
        sign_flip_p([0.1])
    many = list(np.random.default_rng(1).normal(0.3, 1, 40))
    t_test = stats.ttest_1samp(many, 0).pvalue
    assert sign_flip_p(many) == pytest.approx(t_test, abs=0.01)
    assert sign_flip_p(many) == sign_flip_p(many)


@pytest.mark.parametrize(
    ("comparisons", "pairs"), [(1, 6), (12, 9), (14, 10), (16, 10), (7, 9), (6, 8)]
)
def test_pairs_needed(comparisons: int, pairs: int) -> None:
    assert pairs_needed(comparisons) == pairs
    assert comparisons * 2 / 2**pairs <= 0.05 < comparisons * 2 / 2 ** (pairs - 1)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_steps_down(p_values: list[float]) -> None:
    running, expected = 0.0, [0.0] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        expected[place] = running
    adjusted = holm(p_values)
    assert adjusted == pytest.approx(expected)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))


def test_holm_by_hand() -> None:
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not be less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize(
    ("b", "c", "p_value"), [(1, 5, 14 / 64), (5, 1, 14 / 64), (4, 4, 1.0), (0, 10, 2 / 1024)]
)
def test_mcnemar_by_hand(b: int, c: int, p_value: float) -> None:
    ours = np.repeat([True, False], [b, c])
    assert mcnemar(ours, ~ours).p_value == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_of_many_answers_is_chi_square_with_continuity_correction() -> None:
    ours = np.repeat([True, False], [6000, 5700])
    # The square root of chi-square with one degree of freedom is normal.
    z = (300 - 1) / math.sqrt(11_700)
    assert mcnemar(ours, ~ours).p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-9)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 9), (40, 41), (6000, 5700)])
def test_mcnemar(b: int, c: int) -> None:
    ours = np.array([True] * b + [False] * c + [True, False, False])
    theirs = np.array([False] * b + [True] * c + [True, False, False])
    found = mcnemar(ours, theirs)
    assert (found.only_ours, found.only_theirs) == (b, c)
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.p_value == pytest.approx(expected, rel=0.02)
    assert mcnemar(theirs, ours).p_value == pytest.approx(found.p_value)
    with pytest.raises(ValueError, match="shapes differ"):
        mcnemar(ours, theirs[1:])


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, total: int, low: float, high: float) -> None:
    """Newcombe (1998), Two-sided confidence intervals for the single proportion, table I."""
    interval = wilson(right, total)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_by_its_formula(counts: tuple[int, int]) -> None:
    right, total = counts
    p, z = right / total, stats.norm.ppf(0.975)
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    interval = wilson(right, total)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_optimism_by_loops() -> None:
    right = np.random.default_rng(2).random((7, 31)) < 0.6
    order = np.argsort(np.random.default_rng(0).random((50, 31)), axis=1)
    chosen, honest = [], []
    for row in order:
        halves = (row[:15], row[15:])
        for first, second in (halves, halves[::-1]):
            best = max(range(7), key=lambda net: (right[net, first].sum(), -net))
            chosen.append(right[best, first].mean())
            honest.append(right[best, second].mean())
    found = selection_optimism(right, splits=50)
    assert found.chosen == pytest.approx(np.mean(chosen))
    assert found.honest == pytest.approx(np.mean(honest))
    assert found.optimism == pytest.approx(np.mean(chosen) - np.mean(honest))


def test_optimism_of_equal_and_of_unequal_nets() -> None:
    generator = np.random.default_rng(3)
    one = generator.random(400) < 0.7
    assert abs(selection_optimism(np.stack([one] * 5)).optimism) < 0.005
    noise = generator.random((30, 400)) < 0.7
    clear = np.stack([generator.random(400) < 0.3] * 5 + [generator.random(400) < 0.9])
    assert selection_optimism(noise).optimism > 0.02
    assert abs(selection_optimism(clear).optimism) < 0.005
    with pytest.raises(ValueError, match="two nets"):
        selection_optimism(noise[:1])


@pytest.mark.parametrize("factors", [("a", "b"), ("a", "b", "c")])
def test_factorial_effects_are_those_of_a_regression(factors: tuple[str, ...]) -> None:
    generator = np.random.default_rng(4)
    settings_ = list(itertools.product([0, 1], repeat=len(factors)))
    cells, rows = {}, []
    for setting in settings_:
        on = frozenset(f for f, s in zip(factors, setting, strict=True) if s)
        cells[on] = list(generator.normal(0.7, 0.1, 3))
        rows += [(setting, value) for value in cells[on]]
    effects = factorial_effects(cells)
    coded = np.array([[2 * s - 1 for s in setting] for setting, _ in rows])
    columns = {
        names: np.prod([coded[:, factors.index(name)] for name in names], axis=0)
        for names in effects
    }
    design = np.stack([np.ones(len(rows)), *columns.values()], 1)
    fitted = np.linalg.lstsq(design, np.array([value for _, value in rows]))[0]
    # With factors coded as -1 and 1 a coefficient is half the effect.
    expected = dict(zip(columns, 2 * fitted[1:], strict=True))
    assert {names: np.mean(values) for names, values in effects.items()} == pytest.approx(expected)
    assert [*effects][: len(factors)] == [(factor,) for factor in factors]


def test_factorial_refuses_holes() -> None:
    cells = {frozenset(): [0.1], frozenset("a"): [0.2], frozenset("b"): [0.3]}
    with pytest.raises(ValueError, match="no cell for a \\+ b"):
        factorial_effects(cells)
    with pytest.raises(ValueError, match="same number of seeds"):
        factorial_effects({**cells, frozenset("ab"): [0.1, 0.2]})


@given(differences, st.sampled_from([None, 0.001, 0.05, 0.06, 1.0]))
@settings(deadline=None, max_examples=60)
def test_a_verdict_does_not_depend_on_the_side(values: list[float], p_value: float | None) -> None:
    ours, theirs = compare(values), compare([-value for value in values])
    swapped: dict[Claim, Claim] = {"better": "worse", "worse": "better", "little": "little"}
    for claim, other in swapped.items():
        assert verdict(ours, p_value, claim) == verdict(theirs, p_value, other)


CASES: list[tuple[list[float], float | None, Claim, str]] = [
    ([0.02, 0.03, 0.025], 0.05, "better", CONFIRMED),
    ([0.02, 0.03, 0.025], 0.05, "worse", CONTRADICTED),
    ([0.02, 0.03, 0.025], 0.051, "better", NOT_RESOLVED),
    ([0.02, 0.03, 0.025], None, "better", NOT_RESOLVED),
    ([0.02], 0.01, "better", NOT_RESOLVED),
    ([0.001, 0.002, 0.0], None, "little", CONFIRMED),
    ([0.04, 0.05, 0.045], 0.01, "little", CONTRADICTED),
    ([0.04, 0.05, 0.045], 0.2, "little", NOT_RESOLVED),
    ([0.0, 0.012, 0.014], 0.01, "little", NOT_RESOLVED),
    ([0.001], 0.01, "little", NOT_RESOLVED),
]


@pytest.mark.parametrize(("values", "p_value", "claim", "expected"), CASES)
def test_verdicts(values: list[float], p_value: float | None, claim: Claim, expected: str) -> None:
    assert verdict(compare(values), p_value, claim) == expected


def coverage(draw: Callable[[np.random.Generator], np.ndarray], rounds: int = 4000) -> float:
    """How often the 95% interval holds the true mean, zero."""
    generator, hits = np.random.default_rng(5), 0
    for _ in range(rounds):
        interval = summarise(draw(generator)).interval  # type: ignore[arg-type]
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
    return hits / rounds


@pytest.mark.parametrize("n", [3, 10])
def test_the_interval_covers_what_it_promises(n: int) -> None:
    error = 4 * math.sqrt(0.95 * 0.05 / 4000)
    assert abs(coverage(lambda generator: generator.normal(0, 1, n)) - 0.95) < error


def test_false_alarms_over_a_family_stay_below_five_percent() -> None:
    generator, rounds = np.random.default_rng(6), 2000
    patterns = np.array(list(itertools.product([-1, 1], repeat=10)))
    alarms = uncorrected = 0
    for number in range(rounds):
        # All compared with one baseline, so not independent, as in the study.
        family = generator.normal(0, 1, (16, 10)) - generator.normal(0, 1, 10)
        means = np.abs(patterns @ family.T)
        p_values = (means >= np.abs(family.sum(1)) - 1e-9).mean(0).tolist()
        if number < 20:
            assert p_values == [sign_flip_p(values) for values in family]
        alarms += min(holm(p_values)) <= ALPHA
        uncorrected += min(p_values) <= ALPHA
    assert alarms / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert uncorrected / rounds > 0.2


def test_calibration_by_loops() -> None:
    generator = np.random.default_rng(7)
    probabilities = generator.dirichlet(np.full(10, 0.3), 500)
    labels = generator.integers(0, 10, 500)
    total = 0.0
    for number in range(NUM_BINS):
        inside = [
            i
            for i, row in enumerate(probabilities)
            if number / NUM_BINS < row.max() <= (number + 1) / NUM_BINS
        ]
        if inside:
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            sure = np.mean([probabilities[i].max() for i in inside])
            total += len(inside) / 500 * abs(right - sure)
    both = calibrate(probabilities, labels)
    assert both.error == pytest.approx(total)
    assert both.images.sum() == 500
    parts = calibrate(probabilities[:200], labels[:200]) + calibrate(
        probabilities[200:], labels[200:]
    )
    assert parts.error == pytest.approx(both.error)
    certain = calibrate(np.eye(10)[labels], labels)
    assert certain.error == 0 and certain.images[-1] == 500


def seeds(generator: np.random.Generator, count: int, slope: float) -> tuple[np.ndarray, ...]:
    """Epochs and accuracies of a variant."""
    epochs = generator.normal(generator.uniform(2, 9), 1, count)
    return epochs, generator.uniform(0.5, 0.9) + slope * epochs + generator.normal(0, 0.01, count)


@pytest.mark.parametrize("slope", [0.01, 0.0, -0.02])
def test_stopping_is_the_regression_with_a_mean_for_each_variant(slope: float) -> None:
    generator = np.random.default_rng(5)
    pairs = [seeds(generator, count, slope) for count in (3, 10, 10, 4)]
    found = regress_within(pairs)
    assert found is not None and (found.runs, found.variants) == (27, 4)
    variant = np.repeat(np.arange(4), [len(epochs) for epochs, _ in pairs])
    epochs, accuracies = (np.concatenate(side) for side in zip(*pairs, strict=True))
    dummies = (variant[:, None] == np.arange(4)).astype(float)
    design = np.column_stack([epochs, dummies])
    parameters, (squares,), *_ = np.linalg.lstsq(design, accuracies)
    assert found.slope == pytest.approx(parameters[0])
    # The partial correlation follows from the t statistic of the slope.
    freedom = len(epochs) - design.shape[1]
    error = math.sqrt(squares / freedom * np.linalg.inv(design.T @ design)[0, 0])
    t_value = parameters[0] / error
    partial = t_value / math.sqrt(t_value**2 + freedom)
    assert found.correlation == pytest.approx(partial)
    assert found.interval.low < found.correlation < found.interval.high
    # One variant: the interval of scipy.
    single = regress_within(pairs[1:2])
    expected = stats.pearsonr(*pairs[1]).confidence_interval(0.95)
    assert single is not None
    assert (single.interval.low, single.interval.high) == pytest.approx(tuple(expected))


def test_stopping_says_nothing_where_nothing_varies_or_too_little_is_left() -> None:
    assert regress_within([([5, 5, 5, 5, 5], [0.1, 0.2, 0.3, 0.4, 0.5])]) is None
    assert regress_within([([1, 2, 3, 4, 5], [0.5] * 5)]) is None
    assert regress_within([([1, 2, 3], [0.1, 0.3, 0.2])]) is None
    exact = regress_within([([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5])])
    assert exact is not None and exact.slope == pytest.approx(0.1) and exact.interval.high <= 1


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=2))
def test_stopping_does_not_know_the_means_of_variants(shifts: list[float]) -> None:
    generator = np.random.default_rng(6)
    pairs = [seeds(generator, 5, 0.01) for _ in shifts]
    moved = [(e + 3 * shift, a + shift) for (e, a), shift in zip(pairs, shifts, strict=True)]
    found, other = regress_within(pairs), regress_within(moved)
    assert found is not None and other is not None
    assert other.correlation == pytest.approx(found.correlation, abs=1e-9)
