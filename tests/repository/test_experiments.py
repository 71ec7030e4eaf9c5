"""DVC's own views of experiments, on a real repository: the table, and curves in one chart."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.dvc_repository import LOOKS, Repository, logged_variants, put_back, stages_run
from helpers.fresh_clone import MAKE
from helpers.project import ROOT

METRICS = "reports/experiment/metrics.json"
SLOPES = {"leaky": 0.1, "steep": 0.4}
TRAINED = "train@model1-leaky_relu"


@pytest.fixture(scope="module")
def repository(template: Repository) -> Iterator[Repository]:
    """Two experiments with leaky ReLU: one, of the whole pipeline, is trained already; the other
    one alone is trained. Each is logged under its own name, and nothing of the study once more."""
    with put_back(template):
        shutil.copyfile(ROOT / "Makefile", template.folder / "Makefile")
        (template.folder / ".venv").symlink_to(sys.prefix)
        logged = logged_variants(template.folder / "mlflow.db")
        runs = ("leaky", (), {*LOOKS}), ("steep", ("experiment",), {"check", TRAINED})
        for name, target, also in runs:
            slope = f"tricks.leaky_relu.negative_slope={SLOPES[name]}"
            command = ("dvc", "exp", "run", "-n", name, "-S", "trick=leaky_relu", "-S", slope)
            assert stages_run(template.run(*command, *target)) == {"experiment", *also}
            logged = sorted([*logged, "model1-leaky_relu"])
            assert logged_variants(template.folder / "mlflow.db") == logged
        yield template
        (template.folder / ".venv").unlink()


def metrics(repository: Repository, name: str) -> dict[str, Any]:
    content = repository.run("git", "show", f"{revision(repository, name)}:{METRICS}")
    found: dict[str, Any] = json.loads(content)
    return found


def revision(repository: Repository, name: str) -> str:
    references = repository.run("git", "for-each-ref", "refs/exps").splitlines()
    return next(line.split()[0] for line in references if line.endswith(f"/{name}"))


def test_the_table_is_narrow_and_shows_what_differs(repository: Repository) -> None:
    output = repository.run(*MAKE.split(), "--silent", "experiments")
    lines = [line for line in output.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert header == [
        "Experiment", "test_accuracy", "validation_accuracy", "model", "trick",
        "tricks.leaky_relu.negative_slope",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 140
    shown = {name: row for row in rows for name in SLOPES if f"[{name}]" in row[0]}
    assert shown.keys() == SLOPES.keys()
    for name, (_, test, validation, *rest) in shown.items():
        found = metrics(repository, name)
        assert float(test) == pytest.approx(found["test_accuracy"], abs=1e-4)
        assert float(validation) == pytest.approx(found["validation_accuracy"], abs=1e-4)
        assert rest == ["model1", "leaky_relu", str(SLOPES[name])]


def test_two_experiments_have_their_curves_in_one_chart(repository: Repository) -> None:
    repository.run("dvc", "plots", "diff", *SLOPES)
    page = (repository.folder / "dvc_plots/index.html").read_text()
    specs = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*?\});\s*vega", page, re.S)]
    charts = {spec["title"]["text"]: spec for spec in specs if "title" in spec}
    for value in ("loss", "accuracy"):
        spec = charts[f"Experiment: {value}"]
        rows = spec["data"]["values"]
        curves = {(row["rev"], row["field"]) for row in rows}
        fields = (f"train_{value}", f"validation_{value}")
        assert curves == {(name, field) for name in SLOPES for field in fields}
        assert len(rows) == len(curves) * 4  # two epochs, two validations in each
        assert '"field": "rev"' in json.dumps(spec["encoding"]["color"])
        assert '"field": "field"' in json.dumps(spec["encoding"])
