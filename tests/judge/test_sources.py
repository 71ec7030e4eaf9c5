"""Runs from DVC and from MLflow: the real programs, a store and a server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from helpers.cluster import daemon, free_port, wait_until
from helpers.judge_tables import runs, table

from cifar_tricks.__main__ import run
from cifar_tricks.tracking.store import Store

Judge = Callable[..., tuple[int, str, str]]
GOOD = runs(("baseline", "adam"), seeds=6)
STAGE = """\
import json, yaml
params = yaml.safe_load(open("params.yaml"))
loss = float("nan") if params["trick"] == "broken" else 1.0
json.dump({"accuracy": params["accuracy"], "loss": loss}, open("m.json", "w"))
"""


def test_the_table_of_dvcs_experiments(judged: Judge, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    environment = os.environ | {"GIT_CONFIG_COUNT": "0", "DVC_NO_ANALYTICS": "1"}
    environment |= {
        f"GIT_{who}_{what}": "a@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc = (sys.executable, "-m", "dvc")
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_text("trick: none\nseed: 0\naccuracy: 0.5\n")
    stage = {"cmd": f'"{sys.executable}" stage.py', "params": ["trick", "seed", "accuracy"]}
    stage["metrics"] = [{"m.json": {"cache": False}}]
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"train": stage}}))
    call("git", "init", "--quiet")
    call(*dvc, "init", "--quiet")
    call("git", "add", "--all")
    call("git", "commit", "--quiet", "--message", "start")
    given = [*runs(("baseline", "adam"), seeds=1), ["broken", 0, 0.5]]
    for trick, seed, accuracy in given:
        changes = (f"trick={trick}", f"seed={seed}", f"params.yaml:accuracy={accuracy}")
        call(*dvc, "exp", "run", "--quiet", *(part for one in changes for part in ("-S", one)))
    shown = call(*dvc, "exp", "show", "--csv")
    code, output, error = judged(shown, "--value", "m.json:accuracy")
    expected = judged(table(given))[1]
    assert (code, error) == (0, "")
    assert sorted(output.splitlines()[:5]) == sorted(expected.splitlines()[:5])
    assert "DVC's row of the workspace is left out" in output
    assert "diverged (1 of 1 run)" in judged(shown, "--value", "loss")[1]


@pytest.fixture
def tracked(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with runs, a parent above them and a failed one; its address."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("tricks")

    def log(trick: str, seed: object, accuracy: float, status: str, parent: str = "") -> str:
        tags = {"mlflow.parentRunId": parent} if parent else {}
        made = client.create_run(experiment, tags=tags | {"trick": trick, "seed": "a tag"})
        number = made.info.run_id
        client.log_param(number, "optimizer.seed", seed)
        client.log_metric(number, "test/accuracy", accuracy)
        client.set_terminated(number, status)
        return str(number)

    parent = log("baseline", "", 0.1, "FINISHED")
    for trick, seed, accuracy in GOOD:
        log(str(trick), seed, float(str(accuracy)), "FINISHED", parent)
    log("broken", 0, float("nan"), "FINISHED")
    log("adam", 0, 0.9, "FAILED")
    return uri


OPTIONS = ("--value", "test/accuracy", "--variant", "trick", "--seed", "optimizer.seed")


@pytest.fixture
def server(tracked: str, tmp_path: Path) -> Iterator[str]:
    """MLflow's own server of that store."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    command += ["--workers=1", f"--backend-store-uri={tracked}"]
    with daemon(command, tmp_path / "log", cwd=tmp_path):
        store = Store(f"http://127.0.0.1:{port}")
        wait_until(lambda: _answers(store), "server of MLflow", seconds=120)
        yield store.uri


def _answers(store: Store) -> bool:
    try:
        store.reach()
    except OSError:
        return False
    return True


def test_the_runs_of_a_store(
    judged: Judge, tracked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = judged(table([*GOOD, ["broken", 0, "nan"]]))[1]
    assert run(["judge", "--mlflow", "tricks", *OPTIONS]) == 0
    found = capsys.readouterr().out
    assert found.splitlines()[:5] == expected.splitlines()[:5]
    for options, message in (
        (("--mlflow", "trick"), "--mlflow trick: no such experiment; did you mean tricks?"),
        (("--mlflow", "Default"), "--mlflow Default: the experiment has no finished run"),
        (("--mlflow", "tricks"), "--value names a metric; valid: test/accuracy"),
        (("--mlflow", "tricks", "--value", "acc"), "--value acc: no such metric; valid"),
        (("--mlflow", "x", "--tracking-uri", "http://127.0.0.1:9"), "MLflow at http://127.0.0.1:9"),
        (("--mlflow", "x", "--tracking-uri", "sqlite:////nosuch/m.db"), "MLflow at sqlite:////nos"),
    ):
        assert run(["judge", *options]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {message}") and error.count("\n") == 1
        assert "dvc repro" not in error


@pytest.mark.slow
def test_the_runs_of_a_server(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["judge", "--mlflow", "tricks", *OPTIONS]) == 0
    expected = capsys.readouterr().out
    assert run(["judge", "--mlflow", "tricks", "--tracking-uri", server, *OPTIONS]) == 0
    assert capsys.readouterr().out == expected
