"""The effect against the length of the training: which pairs count, and where a curve ends."""

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic_study import make_study
from scipy import stats

from cifar_tricks.charts.budget import budget_charts, net_colours
from cifar_tricks.evidence.budget import Budget, BudgetPoint, budget_csv, budgets
from cifar_tricks.evidence.curves import read_curves
from cifar_tricks.evidence.study_results import StudyResults

KEY, BASE = "model1-leaky_relu", "model1-baseline"


def accuracy(study: StudyResults, key: str, seed: int, step: int) -> float:
    curves = read_curves(study.results[key])
    row = curves[(curves["seed"] == seed) & (curves["step"] == step)]
    return float(row[row["split"] == "validation"]["accuracy"].iloc[0])


def of(study: StudyResults, key: str = KEY) -> Budget:
    return next(one for one in budgets(study) if one.result.key == key)


def test_each_point_is_the_mean_of_the_pairs_with_its_interval(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0, 1, 2, 5)) as study:
        found = of(study)
        assert [(point.epoch, point.n) for point in found.points] == [
            (0.5, 4), (1.0, 4), (1.5, 4), (2.0, 4),
        ]  # fmt: skip
        for point in found.points:
            pairs = [
                accuracy(study, KEY, seed, point.step) - accuracy(study, BASE, seed, point.step)
                for seed in (0, 1, 2, 5)
            ]
            assert point.difference == pytest.approx(np.mean(pairs))
            interval = stats.t.interval(0.95, 3, np.mean(pairs), stats.sem(pairs))
            assert (point.low, point.high) == pytest.approx(interval)
        lines = budget_csv(budgets(study)).splitlines()
        assert lines[0] == "key,model,trick,epoch,step,n,difference,low,high"
        first = found.points[0]
        row = f"{KEY},model1,leaky_relu,0.5,{first.step},4,{round(first.difference, 6)},"
        assert [line.startswith(row) for line in lines].count(True) == 1


def test_pairs_count_while_both_train_and_three_are_the_least(tmp_path: Path) -> None:
    stopped = {(KEY, 0): 1, (BASE, 1): 2, (KEY, 2): 3, (BASE, 2): 3}
    with make_study(tmp_path, seeds=(0, 1, 2, 3, 4), validations=stopped) as study:
        assert [point.n for point in of(study).points] == [5, 4, 3]
    (tmp_path / "two").mkdir()
    with make_study(tmp_path / "two", seeds=(0, 1)) as study:
        found = of(study)
        assert not found.points and found.note == "2 pairs: 3 needed"
        assert budget_charts(budgets(study), net_colours(["model1", "narrow"])) == {}


def test_a_trick_that_doubles_the_images_gets_no_more_steps(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        ours, base = (study.results[key].run for key in ("model1-augment", BASE))
        assert ours and base and ours.steps_per_epoch > base.steps_per_epoch
        points = of(study, "model1-augment").points
        assert points and {point.step for point in points} <= {
            base.steps_per_epoch * number // 2 for number in range(1, 5)
        }
        assert [point.epoch for point in points] == [
            round(point.step / base.steps_per_epoch, 2) for point in points
        ]


@pytest.mark.fault("diverge")
def test_nothing_is_averaged_over_a_seed_that_diverged(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0, 1, 2, 3), diverged={(KEY, 3)}) as study:
        found = of(study)
        assert [(point.epoch, point.n) for point in found.points] == [(0.5, 4)]
        assert found.note == f"{KEY} seed 3 diverged: the curve ends there"
    one = {(BASE, 0): 1}
    (tmp_path / "at once").mkdir()
    with make_study(tmp_path / "at once", diverged={(BASE, 0)}, validations=one) as study:
        found = of(study)
        assert not found.points and "model1-baseline seed 0 diverged" in found.note


def point(epoch: float, low: float, high: float) -> BudgetPoint:
    middle = (low + high) / 2
    return BudgetPoint(epoch=epoch, step=1, n=3, difference=middle, low=low, high=high)


def test_a_sign_changes_where_intervals_lie_on_both_sides(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        result = study.results[KEY]
    up, unclear, down = point(1, 0.01, 0.02), point(2, -0.01, 0.01), point(3, -0.02, -0.01)
    assert Budget(result=result, points=(up, unclear, down)).turn == (up, down)
    assert Budget(result=result, points=(up, unclear, up)).turn is None
    assert Budget(result=result, points=(unclear, down)).turn is None
