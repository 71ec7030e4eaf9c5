"""What is logged to a real MLflow store, how often, and what happens when the store is not well."""

import multiprocessing
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from helpers.mlflow_project import (
    REPORT,
    log,
    logged,
    told,
    write_variant,
)
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import read_run, seed_folder
from cifar_tricks.tracking import client as mlflow_runs
from cifar_tricks.tracking import run_table, store
from cifar_tricks.tracking.tags import run_tags
from cifar_tricks.tracking.track import run_ids


def history(run: Any, name: str) -> dict[int, float]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.find_store().uri)
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}


def test_a_variant_is_one_run_with_one_run_per_seed(params: Params, project: Path) -> None:
    done = log(params, {"model1-leaky_relu": write_variant("model1-leaky_relu")})
    assert (done.new, done.total) == (1, 1)
    assert done.store == f"sqlite:///{project}/mlflow.db"
    (parent,), children = logged(), logged("seed")
    assert parent.info.run_name == "model1-leaky_relu"
    assert [run.info.run_name for run in children] == [
        "model1-leaky_relu seed=0",
        "model1-leaky_relu seed=1",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    assert children[0].info.end_time - children[0].info.start_time == 60_000


def test_tags_and_params_say_what_was_run(
    params: Params, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-goat")
    log(params, {"model2-adam": write_variant("model2-adam")})
    (parent,), (first, _) = logged(), logged("seed")
    expected = {
        "variant": "model2-adam", "model": "model2", "trick": "adam", "group": "tricks",
        "scale": "quick", "dvc.stage": "train@model2-adam", "dvc.experiment": "puffy-goat",
        "device": "cpu", "data.train": "f" * 64, "mlflow.runName": "model2-adam (puffy-goat)",
    }  # fmt: skip
    assert parent.data.tags.items() >= {**expected, "seed": "0, 1"}.items()
    assert first.data.tags.items() >= {"seed": "0", "device_name": "a CPU"}.items()
    assert first.data.tags["weights_sha256"] == "0" * 64
    assert parent.data.params.items() <= first.data.params.items()
    some = {"net.filters": "8, 8", "net.norm_2d": "none", "optimizer.target": "torch.optim.SGD"}
    some |= {"optimizer.arguments.lr": "0.05", "batch_size": "16", "tricks": "adam"}
    some |= {"batch_transforms.0.arguments.p": "0.5"}
    assert parent.data.params.items() >= some.items()
    assert "mlflow.source.git.commit" not in parent.data.tags or len(
        parent.data.tags["mlflow.source.git.commit"]
    ) in (40, 64)


def test_the_stage_of_every_variant_is_the_pipelines(params: Params, project: Path) -> None:
    for variant in variants(params).values():
        write_variant(variant.key)
        run = replace(
            read_run("quick", variant.key), group=variant.group, model=variant.model,
            trick=variant.trick,
        )  # fmt: skip
        assert run_tags(run, {})["dvc.stage"] == variant.stage


def test_an_older_view_of_the_run_table_is_replaced(params: Params, project: Path) -> None:
    from mlflow import MlflowClient

    scores = {"model1-adam": write_variant("model1-adam", seeds=[0])}
    log(params, scores)
    client = MlflowClient(tracking_uri=store.find_store().uri)
    number = client.get_experiment_by_name("cifar-tricks/quick").experiment_id
    client.set_experiment_tag(number, run_table.VIEW_TAG, "{}")
    client.set_experiment_tag(number, "mlflow.note.content", "a note of the user")
    log(params, scores)
    tags = client.get_experiment(number).tags
    assert tags[run_table.VIEW_TAG] == run_table.EXPERIMENT_TAGS[run_table.VIEW_TAG]
    assert tags["mlflow.note.content"] == "a note of the user"


def test_a_variant_has_the_means_of_its_seeds(params: Params, project: Path) -> None:
    log(params, {"model1-adam": write_variant("model1-adam")})
    (parent,), children = logged(), logged("seed")
    assert parent.data.metrics["num_seeds"] == 2
    assert "num_seeds" not in children[0].data.metrics
    for name in ("test_accuracy", "test_loss", "validation_accuracy"):
        values = [run.data.metrics[name] for run in children]
        assert parent.data.metrics[name] == pytest.approx(fmean(values))
        spread = parent.data.metrics[f"std/{name}"]
        assert spread == pytest.approx(stdev(values), abs=1e-4) == round(spread, 4)
    assert parent.data.metrics["num_parameters"] == 1234
    assert children[1].data.metrics.items() >= {"steps": 4, "best_step": 4}.items()
    assert children[0].data.metrics["images_per_second"] == 100


def test_curves_are_by_step_and_their_mean_ends_with_the_first_seed(
    params: Params, project: Path
) -> None:
    log(params, {"model1-adam": write_variant("model1-adam")})
    (parent,), (first, second) = logged(), logged("seed")
    assert history(first, "curves/validation_loss") == pytest.approx({2: 1.8, 4: 1.6, 6: 1.4})
    assert history(second, "curves/validation_loss") == pytest.approx({2: 2.8, 4: 2.6})
    assert history(parent, "curves/validation_loss") == pytest.approx({2: 2.3, 4: 2.1})
    assert history(parent, "curves/train_accuracy") == pytest.approx({2: 0.1, 4: 0.1})


def test_one_seed_has_no_standard_deviation(params: Params, project: Path) -> None:
    log(params, {"model1-adam": write_variant("model1-adam", seeds=[3])})
    (parent,) = logged()
    assert parent.data.metrics["test_accuracy"] == pytest.approx(0.6)
    assert not [name for name in parent.data.metrics if name.startswith("std/")]


def test_nothing_is_averaged_over_a_diverged_seed(params: Params, project: Path) -> None:
    log(params, {"model1-adam": write_variant("model1-adam", diverged=1)})
    (parent,), (sound, lost) = logged(), logged("seed")
    assert [run.info.status for run in (parent, sound, lost)] == ["FAILED", "FINISHED", "FAILED"]
    assert lost.data.tags["diverged"] == "step 4"
    assert parent.data.tags["diverged"] == "seed 1"
    assert "test_loss" not in lost.data.metrics
    assert sound.data.metrics["test_loss"] == 1.5
    assert not {"test_loss", "test_accuracy", "std/test_accuracy"} & parent.data.metrics.keys()
    assert parent.data.metrics["num_parameters"] == 1234
    assert history(lost, "curves/validation_loss").keys() == {2}


def test_files_of_a_run_and_no_other_are_kept_with_it(params: Params, project: Path) -> None:
    (REPORT / "figures").mkdir(parents=True)
    names = ["curves-model1-augment.png", "curves-model1-augment_online.png", "overview.png"]
    for name in names:
        (REPORT / "figures" / name).write_bytes(b"png")
    log(params, {"model1-augment": write_variant("model1-augment", seeds=[0])})
    files = {str(path.relative_to(project / "mlartifacts")) for path in project.rglob("*.*")
             if path.is_file() and "mlartifacts" in path.parts}  # fmt: skip
    assert {re.sub(r"^\w+/", "", file) for file in files} == {
        "artifacts/run.json", "artifacts/history.csv", "artifacts/figures/curves-model1-augment.png"
    }  # fmt: skip


def test_logging_twice_adds_nothing_but_another_experiment_does(
    params: Params, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {
        "model1-adam": write_variant("model1-adam"),
        "model1-best": write_variant("model1-best"),
    }
    assert log(params, variants).new == 2
    assert log(params, variants).new == 0
    assert (len(logged()), len(logged("seed"))) == (2, 4)
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-goat")
    one = {"model1-adam": variants["model1-adam"]}
    assert (log(params, one).new, log(params, one).new) == (1, 0)
    assert (len(logged()), len(logged("seed"))) == (3, 6)
    variants["model1-adam"]["test_accuracy"]["values"][0] = 0.9
    assert log(params, one).new == 1


@pytest.mark.fault("store")
@pytest.mark.parametrize(
    ("error", "status", "new_store"),
    [
        (KeyboardInterrupt(), "KILLED", False),
        (MemoryError(), "RUNNING", False),
        (KeyboardInterrupt(), "KILLED", True),
    ],
    ids=["interrupted", "killed without a word", "interrupted in a new store"],
)
def test_what_an_interrupted_process_left_is_replaced(
    params: Params,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
    new_store: bool,
) -> None:
    variants = {"model1-adam": write_variant("model1-adam")}
    if new_store:
        Path("mlflow.db").unlink()

    def killed(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(mlflow_runs, "_end", killed)
        log(params, variants)
    (unfinished,) = logged()
    assert (unfinished.info.status, len(logged("seed"))) == (status, 1)
    assert log(params, variants).new == 1
    (parent,), children = logged(), logged("seed")
    assert parent.info.status == "FINISHED"
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2


def test_a_deleted_run_is_logged_anew(params: Params, project: Path) -> None:
    from mlflow import MlflowClient

    variants = {"model1-adam": write_variant("model1-adam")}
    log(params, variants)
    client = MlflowClient(tracking_uri=store.find_store().uri)
    client.delete_run(logged()[0].info.run_id)
    assert log(params, variants).new == 1
    client.delete_experiment(client.get_experiment_by_name("cifar-tricks/quick").experiment_id)
    assert log(params, variants).new == 0


def test_run_ids_are_those_of_the_latest_runs(params: Params, project: Path) -> None:
    assert run_ids("quick", ["model1-adam"]) == ("", {})
    log(params, {"model1-adam": write_variant("model1-adam")})
    experiment, found = run_ids("quick", ["model1-adam", "model1-none"])
    assert experiment and found == {"model1-adam": logged()[0].info.run_id}


def _process(project: str, barrier: Barrier, results: Any, params: Params, variants: Any) -> None:
    os.chdir(project)
    barrier.wait(60)
    results.put(log(params, variants).new)


@pytest.mark.slow
@pytest.mark.fault("store")
def test_eight_processes_open_a_fresh_store_at_once(
    params: Params, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_project / "mlflow.db.new").write_bytes(
        b"left by a process that was killed while opening it"
    )
    variants = {key: write_variant(key) for key in ("model1-adam", "model2-adam")}
    # Real processes, forked from a fresh one that has done the slow imports.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", __name__])
    barrier, results = context.Barrier(8), context.Queue()
    arguments = (str(bare_project), barrier, results, params, variants)
    processes = [context.Process(target=_process, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    new = [results.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 8
    assert sum(new) == 2
    assert (len(logged()), len(logged("seed"))) == (2, 4)


@pytest.fixture
def held(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another program is writing to the database."""
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect("mlflow.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.fault("store")
def test_a_locked_store_is_told_in_one_line(params: Params, project: Path, held: None) -> None:
    message = told(params, {"model1-adam": write_variant("model1-adam")})
    assert f"sqlite:///{project}/mlflow.db" in message and "locked" in message


@pytest.mark.fault("store")
def test_a_damaged_store_is_told_in_one_line(params: Params, bare_project: Path) -> None:
    (bare_project / "mlflow.db").write_bytes(b"no database " * 100)
    assert "not a database" in told(params, {"model1-adam": write_variant("model1-adam")})


@pytest.mark.fault("store")
def test_a_server_that_is_down_is_told_in_one_line_without_its_password(
    params: Params, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    message = told(params, {"model1-adam": write_variant("model1-adam")})
    assert message.startswith("MLflow at http://127.0.0.1:1: ") and "secret" not in message


def test_missing_and_damaged_files_are_told_before_anything_is_logged(
    params: Params, project: Path
) -> None:
    scores = write_variant("model1-adam")
    with pytest.raises(UserError, match=r"runs/quick/model1-none/run\.json is missing"):
        log(params, {"model1-adam": scores, "model1-none": scores})
    with pytest.raises(UserError, match=r"reports/quick/metrics\.json .* dvc repro"):
        log(params, {"model1-adam": {**scores, "seeds": [0]}})
    file = seed_folder("quick", "model1-adam", 1) / "history.csv"
    file.write_text("step,epoch\n1,2\n")
    with pytest.raises(UserError, match=r"history\.csv is damaged"):
        log(params, {"model1-adam": scores})
    file.unlink()
    with pytest.raises(UserError, match=r"history\.csv is missing"):
        log(params, {"model1-adam": scores})


def test_a_run_without_notes_is_logged(params: Params, project: Path) -> None:
    scores = write_variant("model1-adam")
    shutil.rmtree("logs")
    log(params, {"model1-adam": scores})
    assert "images_per_second" not in logged()[0].data.metrics


def test_only_few_modules_import_mlflow() -> None:
    importing = re.compile(r"^\s*(import|from) mlflow\b", re.MULTILINE)
    files = [*(ROOT / "src/cifar_tricks").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    named = {
        str(file.relative_to(ROOT / "src/cifar_tricks"))
        for file in files
        if importing.search(file.read_text())
    }
    assert named == {
        "doctor/tracking.py",
        "judge/mlflow_runs.py",
        "tracking/client.py",
        "tracking/experiment.py",
        "tracking/mlflow_store.py",
        "tracking/registry.py",
        "tracking/serving.py",
        "tracking/server.py",
    }
