"""What is measured is over when the clock is read, also on a device that works by itself."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers.project import ROOT
from helpers.workplace import workplace  # noqa: F401 - a fixture

sys.path.insert(0, str(ROOT / "benchmarks"))

import seeds
import worker
from trainers import LEAST_STEPS, sections, ways

from cifar_tricks.report.speed import speed_table


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("way", ["usual", "limit", "engine"])
def test_every_way_can_be_waited_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "VALIDATION_IMAGES", 64)
    job = worker.Job(way=way, key="model2-baseline", train_images=128, seeds=2)
    step, _, facts = worker.build(job)
    step()
    facts["wait"]()


def test_one_after_another_does_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Run:
        device = None

        def __init__(self, name: str) -> None:
            self.name = name

        def turn(self) -> nullcontext[None]:
            return nullcontext()

        def train_step(self) -> None:
            order.append(self.name)

    monkeypatch.setattr(seeds, "wait", lambda device: order.append("wait"))
    seeds.in_turn([Run("a"), Run("b")])(2)  # type: ignore[list-item]
    assert order == ["a", "a", "wait", "b", "b", "wait"]


def test_a_gpu_is_measured_with_seeds_side_by_side_and_steps_enough() -> None:
    def jobs(device: str) -> dict[str, list[worker.Job]]:
        return ways("model1-baseline", augment=False, cores=2, compiled=False, device=device)

    assert [job.seeds for job in jobs("cuda")["engine, bf16, 10 seeds"]] == [10]
    assert not any("two at once" in name for name in jobs("cuda"))
    assert not any("seeds" in name for name in jobs("cpu"))
    assert LEAST_STEPS["cuda"] >= 300


def test_a_gpus_rows_stand_beside_those_of_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes((ROOT / "benchmarks/results.json").read_bytes())
    before = json.loads(path.read_text())
    before.pop("gpu", None)
    about = {"machine": "some GPU", "torch": "9.9"}
    whole, section = sections(path, "cuda", about)
    rows = {
        name: row
        for name, row in before["nets"]["model1-baseline"].items()
        if "at once" not in name
    }
    section["nets"]["model1-baseline"] = rows | {"engine, bf16, 10 seeds": rows["engine, bf16"]}
    assert {name: value for name, value in whole.items() if name != "gpu"} == before
    table = speed_table(whole)
    assert table[-1]["net"] == "model1-baseline, some GPU"
    assert table[-1]["bf16, ten seeds"] == table[-1]["engine, bf16"]
    assert "bf16, ten seeds" not in speed_table(before)[0]
    path.write_text(json.dumps(whole))
    again, of_cpu = sections(path, "cpu", {name: before[name] for name in ("machine", "torch")})
    assert of_cpu["nets"] == before["nets"] and again["gpu"] == whole["gpu"]
    assert sections(path, "cuda", about | {"torch": "10"})[1]["nets"] == {}
