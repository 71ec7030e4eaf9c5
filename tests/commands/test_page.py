"""`make page` where results come from records: nothing that is there becomes poorer."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.champion import run_stage

from cifar_tricks.commands.page import STAGES, collect
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.parameters.load import load_params

REPORT = Path("reports/quick")
# The best of the two that the fixture trains, the baseline, and the net of exercise (b).
KEYS = ("reference-baseline", "model1-baseline", "improve-best")


def make_page(stages: Sequence[str] = STAGES) -> None:
    for key in KEYS:
        collect(load_params(), key)
    for stage in stages:
        run_stage(*stage.split())


def of_weights() -> dict[str, bytes]:
    """What shows trained nets."""
    names = ("exercises.json", "activations.json", "champion/card.md", "champion/model.json")
    figures = (REPORT / "figures").glob("*.png")
    paths = [*(REPORT / name for name in names), *figures]
    return {str(path): path.read_bytes() for path in paths}


@pytest.fixture
def clone(trained_copy: Path) -> dict[str, bytes]:
    """A checkout with a report and records, and no weights; what the report shows of nets."""
    for key in KEYS:
        record_seeds(load_params(), key, [0, 5])
    make_page(STAGES[:-1])
    for name in ("runs", "resume", "logs", "reports/quick/champion/model.safetensors"):
        path = Path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return of_weights()


def test_what_shows_the_same_weights_is_kept_and_no_other(clone: dict[str, bytes]) -> None:
    facts = json.loads(clone["reports/quick/activations.json"])
    assert list(facts["own_nets"]) == ["model1-baseline", "improve-best"]
    assert facts["explained"] == "improve-best"
    assert json.loads(clone["reports/quick/exercises.json"])["shift"] is not None
    make_page()
    assert of_weights() == clone
    report = (REPORT / "report.md").read_text()
    assert "figures/grad-cam.png" in report and "figures/activations-improve-best.png" in report
    for name in ("activations", "champion/model", "exercises"):
        path = REPORT / f"{name}.json"
        content = json.loads(path.read_text())
        if name == "activations":
            content["own_nets"] = dict.fromkeys(content["own_nets"], "0" * 64)
        elif name == "exercises":
            content["shift"]["validation_accuracy"] += 1e-9
        else:
            content["weights_sha256"] = "0" * 64
        path.write_text(json.dumps(content))
    make_page(("exercises", "visualize", "champion"))
    assert json.loads((REPORT / "activations.json").read_text())["own_nets"] == {}
    assert json.loads((REPORT / "exercises.json").read_text())["shift"] is None
    assert json.loads((REPORT / "champion/model.json").read_text()) == {"key": None}
    assert "records" in (REPORT / "champion/card.md").read_text()
