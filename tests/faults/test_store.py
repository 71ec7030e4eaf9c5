"""MLflow's store fails in every way: nothing else is harmed, nothing is logged twice or lost."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.mlflow_project import (
    REPORT,
    log,
    logged,
    told,
    write_variant,
)
from helpers.small_disk import fill, small_disk

from cifar_tricks.base.errors import Interrupted, UserError
from cifar_tricks.base.locks import sole_writer
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.commands.ui import choose_port
from cifar_tricks.parameters.schema import Params
from cifar_tricks.tracking import client as mlflow_runs
from cifar_tricks.tracking import track
from cifar_tricks.tracking.track import track_interrupted, track_or_keep
from cifar_tricks.training.checkpoint import Checkpoint

KEYS = ("model1-adam", "model1-dropout", "model2-adam")
NAME = "model2-baseline-seed=0-0123456789abcdef"


def write_state(step: int, *, key: str = "model2-baseline") -> Path:
    """What an interrupted training leaves."""
    folder = Path("resume") / NAME
    folder.mkdir(parents=True, exist_ok=True)
    Path("resume/.locks").mkdir(exist_ok=True)
    identity = {"recipe": {"batch_size": 64}}
    about = {"scale": "quick", "key": key, "seed": 0, "identity": identity}
    (folder / "about.json").write_bytes(to_json(about))
    rows = [
        {"step": 2, "epoch": 0.5, "split": "train", "loss": 2.0, "accuracy": 0.25},
        {"step": 2, "epoch": 0.5, "split": "validation", "loss": float("nan"), "accuracy": 0.5},
    ]
    state = {"progress": {"step": step, "history": rows}, "net": {"weight": torch.zeros(3)}}
    Checkpoint(path=folder / "state.safetensors", identity=identity).save(state)
    return folder


@pytest.mark.fault("signal")
def test_an_interrupted_training_is_a_killed_run_until_it_is_complete(
    params: Params,
    project: Path,
) -> None:
    folder = write_state(3)
    other = {"model1-adam": write_variant("model1-adam")}
    log(params, other)
    (run,) = logged("interrupted")
    assert (run.info.status, run.info.run_name) == ("KILLED", "model2-baseline seed=0 interrupted")
    assert run.data.metrics == {
        "steps": 3,
        "curves/train_loss": 2.0,
        "curves/train_accuracy": 0.25,
        "curves/validation_accuracy": 0.5,
    }
    assert run.data.params == {"batch_size": "64", "seed": "0"}
    track_interrupted("quick")
    assert [again.info.run_id for again in logged("interrupted")] == [run.info.run_id]
    write_state(5)
    with sole_writer(folder):
        track_interrupted("quick")
    (same,) = logged("interrupted")
    assert same.data.metrics["steps"] == 3, "it is being trained right now"
    track_interrupted("quick")
    (later,) = logged("interrupted")
    assert later.data.metrics["steps"] == 5
    for file in folder.iterdir():
        file.unlink()
    log(params, {"model2-baseline": write_variant("model2-baseline")} | other)
    assert logged("interrupted") == [] and len(logged()) == 2


@pytest.mark.fault("damage")
def test_a_damaged_state_is_no_obstacle_to_logging(params: Params, project: Path) -> None:
    folder = write_state(3)
    (folder / "about.json").write_text("[]")
    log(params, {"model1-adam": write_variant("model1-adam")})
    assert logged("interrupted") == []


@pytest.mark.fault("signal", tried=2)
def test_logging_that_is_interrupted_leaves_killed_runs_that_are_replaced(
    params: Params,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variants = {"model1-adam": write_variant("model1-adam")}

    def terminated(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(mlflow_runs, "_end", terminated)
        log(params, variants)
    statuses = [run.info.status for role in ("variant", "seed") for run in logged(role)]
    assert statuses == ["KILLED", "KILLED"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert log(params, variants).new == 1
    assert [run.info.status for run in logged()] == ["FINISHED"]
    assert [run.info.status for run in logged("seed")] == ["FINISHED"] * 2


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server on its own database; a group of processes of its own."""
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    command += ["--workers=1", f"--backend-store-uri=sqlite:///{folder}/mlflow.db"]
    command += [f"--artifacts-destination={folder / 'served'}"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.fault("store", tried=3)
def test_a_server_that_is_killed_midway(
    params: Params,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the first variant is logged, in the middle of the second, at three places."""
    port = choose_port("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    variants = {key: write_variant(key) for key in KEYS}
    for name in ("_begin", "_end", "_delete"):
        calls = 0
        good: Callable[..., Any] = getattr(mlflow_runs, name)
        with server(project, port) as process, monkeypatch.context() as patch:

            def killing(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 5:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                return good(*arguments)  # noqa: B023

            patch.setattr(mlflow_runs, name, killing)
            message = told(params, variants)
        assert message.startswith(f"MLflow at http://127.0.0.1:{port}: ")
        assert message.endswith("the next dvc repro logs what is missing")
        with server(project, port):
            log(params, variants)
            assert log(params, variants).new == 0
            assert [run.info.run_name for run in logged()] == sorted(variants)
            assert {run.info.status for run in logged() + logged("seed")} == {"FINISHED"}
            assert len(logged("seed")) == 2 * len(variants)
            # Anew for the next place.
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}")
            for run in logged():
                client.delete_run(run.info.run_id)
            for run in logged("seed"):
                client.delete_run(run.info.run_id)


@pytest.mark.fault("store")
def test_a_store_on_a_full_disk(
    params: Params,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variants = {key: write_variant(key) for key in KEYS}
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        (disk / "mlflow.db").write_bytes(Path("mlflow.db").read_bytes())
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
        log(params, {"model1-adam": variants["model1-adam"]})
        filler = fill(disk, leave=60_000)
        message = told(params, variants)
        assert "full" in message and message.endswith("logs what is missing")
        filler.unlink()
        log(params, variants)
        assert [run.info.run_name for run in logged()] == sorted(variants)
        assert len(logged("seed")) == 2 * len(variants)


@pytest.mark.fault("store")
def test_an_experiment_is_done_without_its_store_and_logged_later(
    params: Params,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = "model1-adam"
    metrics = {"scale": "quick", "variants": {key: write_variant(key)}}
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "brave-name")
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for _ in range(2):
            track_or_keep(params, [key], metrics, folder=REPORT)
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: MLflow at http://127.0.0.1:1: ")
    # What it wrote is replaced by what the next one writes, and its copy of the project is deleted.
    scores = write_variant(key, seeds=(0,))
    log(params, {key: scores})
    study, experiment = logged()
    assert (study.info.run_name, experiment.info.run_name) == (key, f"{key} (brave-name)")
    assert experiment.data.metrics["num_seeds"] == 2
    children = [
        run
        for run in logged("seed")
        if run.data.tags["mlflow.parentRunId"] == experiment.info.run_id
    ]
    assert len(children) == 2
    kept = Path("mlartifacts") / children[1].info.run_id / "artifacts/history.csv"
    assert kept.read_text().startswith("step,epoch")
    assert not list(Path("logs/unlogged").glob("*/*"))
    log(params, {key: scores})
    assert len(logged()) == 2


@pytest.mark.fault("damage")
def test_a_damaged_record_is_told(params: Params, project: Path) -> None:
    path = Path("logs/unlogged/quick/abc/record.json")
    path.parent.mkdir(parents=True)
    for content in ("", "{}", json.dumps({"files": 3})):
        path.write_text(content)
        with pytest.raises(UserError, match=r"record\.json is damaged: rm -r logs/unlogged"):
            track.track(params, [], {"variants": {}}, folder=REPORT)
