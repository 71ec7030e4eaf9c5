"""Which store an address means, and stores in folders with odd names; real ones throughout."""

import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.mlflow_project import log, logged, write_variant
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.schema import Params
from cifar_tricks.tracking import store
from cifar_tricks.tracking.mlflow_store import StoreFailed
from cifar_tricks.tracking.store import find_store

ODD = ("50%20 off", "a?b=c", "c#d", "e f", "it's", 'g "h"', "ünï 数", "i:j@k", "l;m&n", "50%", "~")
# A first opening takes ten seconds, so one folder has it all.
ALL = "".join(name for name in ODD if name != "~")


@pytest.mark.parametrize("name", (*ODD, ALL), ids=range(len(ODD) + 1))
def test_a_folder_may_have_any_name(
    params: Params,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    project = tmp_path / name
    project.mkdir()
    monkeypatch.chdir(project)
    for variable in ("DVC_ROOT", "DVC_EXP_NAME", store.VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    if name != ALL:
        shutil.copyfile(empty_store, "mlflow.db")
    done = log(params, {"model1-adam": write_variant("model1-adam", seeds=[0])})
    assert (
        done.new,
        log(params, {"model1-adam": write_variant("model1-adam", seeds=[0])}).new,
    ) == (1, 0)
    (run,) = logged()
    assert (project / "mlartifacts" / run.info.run_id / "artifacts/run.json").exists()
    assert run.info.artifact_uri.startswith((project / "mlartifacts").as_uri())
    # The printed address means the same store.
    monkeypatch.setenv(store.VARIABLE, done.store)
    assert find_store() == store.sqlite_store(project / "mlflow.db")
    made = {"mlflow.db", "mlflow.db.lock", "mlartifacts", "runs", "logs"}
    assert {path.name for path in project.iterdir()} == made
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_may_be_named_with_options(
    params: Params,
    empty_store: Path,
    bare_project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relative path begins in the main checkout, also for the copies that DVC makes."""
    (bare_project / "elsewhere").mkdir()
    monkeypatch.setenv(store.VARIABLE, "sqlite:///new/x.db?timeout=30")
    monkeypatch.setenv("DVC_ROOT", str(bare_project))
    monkeypatch.chdir(bare_project / "elsewhere")
    (bare_project / "new").mkdir()
    shutil.copyfile(empty_store, bare_project / "new/x.db")
    assert find_store().busy_seconds == 30
    monkeypatch.chdir(bare_project)
    done = log(params, {"model1-adam": write_variant("model1-adam", seeds=[0])})
    assert (done.new, done.store) == (1, f"sqlite:///{bare_project}/new/x.db")
    assert len([*(bare_project / "new/mlartifacts").iterdir()]) == 2
    assert not (bare_project / "mlartifacts").exists()


@pytest.mark.fault("hostile")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://x.db", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x.db?uri=true", "names no file"),
        ("sqlite:///.", "is a folder"),
        ("sqlite:///x.db?timeout=soon", "timeout = soon: valid: seconds"),
        ("file:/tmp/mlruns", "MLflow keeps no runs in folders; valid: sqlite:///file.db"),
        ("file:///tmp/mlruns", "MLflow keeps no runs in folders; valid: sqlite:///file.db"),
        ("./mlruns", "MLflow keeps no runs in folders; valid: sqlite:///file.db"),
        ("/tmp/mlruns", "MLflow keeps no runs in folders; valid: sqlite:///file.db"),
        ("postgres://someone:secret@host/db", "valid: sqlite:///file.db"),
        ("gopher://host", "valid: sqlite:///file.db"),
        ("http://", "valid: sqlite:///file.db"),
        ("http://host:port", "not an address"),
        ("https://host:65536", "not an address"),
    ],
)
def test_an_address_that_is_none_is_told(
    bare_project: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    message: str,
) -> None:
    monkeypatch.setenv(store.VARIABLE, address)
    with pytest.raises(UserError) as error:
        find_store()
    text = str(error.value)
    assert text.startswith("MLFLOW_TRACKING_URI = ") and message in text
    assert "\n" not in text and "secret" not in text
    assert not list(bare_project.iterdir())


def failure(params: Params) -> str:
    began = time.monotonic()
    with pytest.raises(StoreFailed) as error:
        log(params, {"model1-adam": write_variant("model1-adam", seeds=[0])})
    assert time.monotonic() - began < 60
    message = str(error.value)
    assert "\n" not in message and "secret" not in message
    return message


@pytest.mark.fault("store", tried=3)
def test_a_database_without_its_driver_names_the_package(
    params: Params,
    bare_project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"someone:secret@127.0.0.1:{server.getsockname()[1]}/runs"
        for dialect, remedy in (
            ("postgresql", "make setup EXTRAS=postgres"),
            ("postgresql+psycopg2", ".venv/bin/uv pip install 'psycopg2-binary'"),
            ("mysql+pymysql", ".venv/bin/uv pip install 'pymysql'"),
        ):
            if dialect == "postgresql" and find_spec("psycopg"):
                continue
            monkeypatch.setenv(store.VARIABLE, f"{dialect}://{place}")
            assert f"install it: {remedy}" in failure(params)


@pytest.mark.fault("store", tried=4)
def test_a_server_that_does_not_answer_is_told_soon(
    params: Params,
    bare_project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = server.getsockname()[1]
        for address in (
            f"http://someone:secret@127.0.0.1:{silent}",
            "http://someone:secret@127.0.0.1:1",
            "postgresql://someone:secret@127.0.0.1:1/runs",
            "mysql+pymysql://someone:secret@nowhere.invalid/runs",
        ):
            monkeypatch.setenv(store.VARIABLE, address)
            assert "the next dvc repro logs what is missing" in failure(params)


@pytest.mark.fault("hostile")
def test_a_setting_that_mlflow_cannot_read_is_told(
    params: Params,
    bare_project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "many")
    assert "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE" in failure(params)


@pytest.mark.slow
def test_mlflow_itself_may_lie_in_an_odd_folder(tmp_path: Path) -> None:
    (folder := tmp_path / ODD[0]).mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    script = "from cifar_tricks.tracking import client as m\nwith m.logging_session('quick'): pass"
    environment = {n: v for n, v in os.environ.items() if n != "MLFLOW_TRACKING_URI"}
    subprocess.run(
        [folder / ".venv/bin/python", "-c", script],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT / "src")},
        check=True,
    )
    assert (folder / "mlflow.db").exists()
