"""What a report says of the machines that its trainings ran on."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.synthetic_study import ABLATION, RECIPE, make_study, predictions

from cifar_tricks.evidence.ingredients.read import read_ingredients
from cifar_tricks.evidence.provenance import provenance


def test_pairs_from_two_machines_are_named(tmp_path: Path) -> None:
    with make_study(tmp_path, fewer={"model1-augment": 2}) as study:
        assert provenance(study).apart == []
        # A seed of the baseline without a partner compares nothing: seed 2 for `augment`.
        run = study.results["model1-baseline"].run
        assert run is not None
        last = run.seeds[2]
        other = replace(last, origin=replace(last.origin, device_name="another"))
        moved = replace(run, seeds={**run.seeds, 2: other})
        study.results["model1-baseline"] = replace(study.results["model1-baseline"], run=moved)
        found = provenance(study)
    assert found.devices == ["cpu (another)", "cpu (test processor)"]
    assert found.apart == ["model1-leaky_relu", "improve-both", "improve-wider"]


def test_so_are_those_of_ingredients(tmp_path: Path) -> None:
    recorded = {"ablation-silu": 2}
    with make_study(tmp_path, improve=RECIPE, ablation=ABLATION, recorded=recorded) as study:
        assert provenance(study, read_ingredients(study, predictions())).apart == []
        whole = study.results["improve-rec"]
        assert whole.run is not None
        seeds = {
            seed: replace(one, origin=replace(one.origin, device_name="another"))
            for seed, one in whole.run.seeds.items()
        }
        moved = replace(whole, run=replace(whole.run, seeds=seeds))
        study.results["improve-rec"] = moved
        found = provenance(study, read_ingredients(study, predictions()))
    assert found.apart == ["improve-rec", "ablation-silu"]


@pytest.mark.parametrize("shown", ["report.md", "index.html"])
def test_the_committed_reports_say_so(shown: str) -> None:
    root = Path(__file__).parents[2] / "reports"
    assert "Another model of machine" in (root / "full_gpu" / shown).read_text()
    assert "Another model of machine" not in (root / "fashion_mnist" / shown).read_text()
