"""A project with an MLflow store, and runs to log in it."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.folders import run_folder, seed_folder, write_history, write_run
from cifar_tricks.runs.run import Origin, Run, SeedResult
from cifar_tricks.tracking import mlflow_store, store
from cifar_tricks.tracking.track import Tracked, track

REPORT = Path("reports/quick")
ORIGIN = Origin(device="cpu", device_name="a CPU", torch="2.0", engine=1, code="c" * 64)
PLACE = "a folder with ümlauts"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml").model_copy(update={"scale": "quick"})


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An opened store: MLflow's migrations take seconds, so the tests copy it."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    opened = store.sqlite_store(file)
    with mlflow_store.told_in_one_line(opened), opened.lock():
        mlflow_store.open_store(opened)
    return file


@pytest.fixture
def bare_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project whose path is not plain ASCII."""
    project = tmp_path / PLACE
    project.mkdir()
    monkeypatch.chdir(project)
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return project


@pytest.fixture
def project(bare_project: Path, empty_store: Path) -> Path:
    """The same, with a store without runs."""
    shutil.copyfile(empty_store, bare_project / "mlflow.db")
    return bare_project


def curve(seed: int) -> list[dict[str, Any]]:
    """Three validations; a higher seed stops one earlier."""
    return [
        {
            "step": step,
            "epoch": step / 4,
            "split": split,
            "loss": 2 - step / 10 + seed,
            "accuracy": 0.1,
        }
        for step in (2, 4, 6)[: 3 - seed]
        for split in ("train", "validation")
    ]


def write_variant(key: str, *, seeds: Sequence[int] = (0, 1), diverged: int | None = None) -> Any:
    """Writes the files of a run; returns its part of metrics.json."""
    from helpers.recipes import make_recipe  # slow to import

    model, _, trick = key.partition("-")
    results = {}
    for seed in seeds:
        lost = seed == diverged
        rows = curve(seed)
        if lost:
            rows[-1]["loss"] = float("nan")
        results[seed] = SeedResult(
            status="diverged" if lost else "finished",
            steps=6 - 2 * seed,
            best_step=4,
            train_loss=None if lost else 1.5 + seed,
            train_accuracy=0.5,
            validation_loss=None if lost else 1.6,
            validation_accuracy=0.4,
            mean=(1.0, 2.0, 3.0),
            std=(1.0, 2.0, 3.0),
            weights_sha256="0" * 64,
            history_sha256=write_history(seed_folder("quick", key, seed) / "history.csv", rows),
            origin=ORIGIN,
        )
        log = Path("logs/quick") / key / f"seed={seed}.json"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(
            to_json({"device_name": "a CPU", "images_per_second": 100.0, "seconds": 60.0})
        )
    recipe = {
        **asdict(make_recipe()),
        "batch_transforms": [{"target": "a.b", "arguments": {"p": 0.5}}],
    }
    run = Run(
        scale="quick", key=key, group="tricks", model=model, trick=trick, tricks=(trick,),
        recipe=recipe, num_parameters=1234, steps_per_epoch=4,
        data={"train": "f" * 64}, seeds=results,
    )  # fmt: skip
    write_run(run, run_folder("quick", key))
    scores = {
        "test_accuracy": [0.3 + seed / 10 for seed in seeds],
        "test_loss": [result.train_loss for result in results.values()],
        "validation_accuracy": [result.validation_accuracy for result in results.values()],
    }
    columns = {name: {"values": values, "mean": None} for name, values in scores.items()}
    return {
        "seeds": list(seeds),
        "model": model,
        "num_parameters": 1234,
        "reference": None,
        **columns,
    }


def log(params: Params, variants: dict[str, Any]) -> Tracked:
    metrics = {"scale": "quick", "variants": variants}
    return track(params, list(variants), metrics, folder=REPORT)


def logged(role: str = "variant") -> list[Any]:
    """The runs of one kind, oldest name first."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.find_store().uri)
    experiment = client.get_experiment_by_name("cifar-tricks/quick")
    found = client.search_runs([experiment.experiment_id], f"tags.role = '{role}'")
    return sorted(found, key=lambda run: str(run.info.run_name))


def told(params: Params, variants: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        log(params, variants)
    message = str(error.value)
    assert "\n" not in message
    return message
