"""The simulation of the study on many nodes keeps the bounds that hold for every order."""

import math
import sys

import pytest
from helpers.project import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from cluster_scale import NODES, Cluster, Outcome, bounds, simulate, table, times_of_study


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.chdir(ROOT)
    found, measured = times_of_study()
    assert len(found) % 50 == 0 and 0 < measured <= 50
    return found


def test_without_deaths_the_end_lies_between_the_bounds(times: list[float]) -> None:
    for nodes in NODES:
        ideal = Cluster(nodes=nodes, task=0, start=0, data=0)
        least, most = bounds(times, nodes)
        assert least * (1 - 1e-9) <= simulate(times, ideal).seconds <= most * (1 + 1e-9)
    assert simulate([3, 1, 2], Cluster(nodes=2, task=0, start=0, data=0)) == Outcome(3, 0, 0)
    # What driver, start and data add to two trainings on one node.
    assert simulate([3, 1], Cluster(nodes=1, task=0.25, start=2, data=0.5)).seconds == 9


def test_deaths_cost_time_and_the_same_seed_gives_the_same(times: list[float]) -> None:
    quiet, fragile = Cluster(nodes=32), Cluster(nodes=32, life=4 * 3600)
    runs = [simulate(times, fragile, seed) for seed in range(3)]
    assert runs == [simulate(times, fragile, seed) for seed in range(3)]
    assert all(run.again > 0 and run.seconds > simulate(times, quiet).seconds for run in runs)
    # Nothing lives long enough: each is given up after five tries.
    assert simulate([1e9] * 3, fragile).given_up == 3


def test_the_table_has_a_line_for_each_number_of_nodes(times: list[float]) -> None:
    lines = table(times[:60]).splitlines()
    assert [line.split()[1] for line in lines[2:]] == [str(nodes) for nodes in NODES]
    assert math.isclose(sum(times), sum(sorted(times)))
