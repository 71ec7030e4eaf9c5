"""The training speed on page and in the README is what make bench measured."""

import json
from pathlib import Path

import pytest
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.report.speed import BENCH, read_bench, speed_chart, speed_table


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.chdir(ROOT)
    read = read_bench()
    assert read is not None
    return read


def test_the_table_has_the_measured_numbers(bench: dict[str, object]) -> None:
    rows = {row["net"]: row for row in speed_table(bench)}
    measured = json.loads((ROOT / BENCH).read_text())["nets"]
    assert [*rows] == [*measured]
    for net, ways in measured.items():
        fast = ways["engine, bf16"]
        shown = f"{fast['images_per_second']:.0f} ({fast['ratio_to_usual']:.2f}x)"
        assert rows[net]["engine, bf16"] == shown
        usual = max(ways[f"usual, {count} workers"]["images_per_second"] for count in (0, 2))
        assert rows[net]["usual"] == f"{usual:.0f}"


def test_the_ratios_are_those_of_the_rounds(bench: dict[str, object]) -> None:
    """Nobody edits a ratio by hand; the rounds are written with one decimal."""
    for ways in json.loads((ROOT / BENCH).read_text())["nets"].values():
        usual = [
            max(pair)
            for pair in zip(
                *(ways[f"usual, {count} workers"]["rounds"] for count in (0, 2)), strict=True
            )
        ]
        for row in ways.values():
            ratios = sorted(a / b for a, b in zip(row["rounds"], usual, strict=True))
            assert row["ratio_to_usual"] == pytest.approx(ratios[len(ratios) // 2], rel=5e-3)


def test_the_chart_describes_itself(bench: dict[str, object]) -> None:
    chart = speed_chart(bench)
    ratio = bench["nets"]["model1-baseline"]["engine, bf16"]["ratio_to_usual"]  # type: ignore[index]
    assert f"model1, bf16 {ratio:.2f}x." in chart["description"]
    assert not any("augmented" in bar["net"] for bar in chart["data"]["values"])


def test_without_measurements_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_bench() is None
    BENCH.parent.mkdir()
    BENCH.write_text('{"nets": {"model1": {}}}')
    with pytest.raises(UserError, match="damaged"):
        read_bench()
