"""Several machines log to one store at once: on PostgreSQL, and behind a server of MLflow."""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from helpers.cluster import daemon, free_port, postgres, wait_until
from helpers.synthetic_study import make_study

from cifar_tricks.tracking import sharing
from cifar_tricks.tracking.store import Store

LOG = """
import json, sys
from pathlib import Path
from cifar_tricks.parameters.load import load_params
from cifar_tricks.tracking.track import track
params, folder = load_params(), Path("reports/small")
metrics = json.loads((folder / "metrics.json").read_bytes())
print("logged", track(params, list(metrics["variants"]), metrics, folder=folder, study=True).new)
"""
TRICKS = "baseline: {}, augment: {}"
ACTIVE = """
select identity.value, role.value, runs.status from runs
join tags identity on identity.run_uuid = runs.run_uuid and identity.key = 'identity'
join tags role on role.run_uuid = runs.run_uuid and role.key = 'role'
where runs.lifecycle_stage = 'active'
"""


def log_from(folder: Path, uri: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOG],
        cwd=folder,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log_at_once(tmp_path: Path, uri: str, *, count: int) -> tuple[int, list[str]]:
    """Checkouts of their own log the same four variants at once.

    Returns:
        How many runs of variants they say to have logged, and what they told on stderr.
    """
    first = tmp_path / "checkout-0"
    first.mkdir()
    with make_study(first, seeds=(0, 1), models=("model1",), tricks=TRICKS, improve="{}"):
        pass
    others = [tmp_path / f"checkout-{number}" for number in range(1, count)]
    for other in others:
        shutil.copytree(first, other)
    processes = [log_from(folder, uri) for folder in (first, *others)]
    ended = [(*process.communicate(timeout=240), process.returncode) for process in processes]
    assert [code for _, _, code in ended] == [0] * count, [errors for _, errors, _ in ended]
    return sum(int(out.split()[-1]) for out, _, _ in ended), [errors for _, errors, _ in ended]


def active_runs(address: str) -> list[tuple[str, str, str]]:
    import psycopg

    with psycopg.connect(address) as connection:
        return [*connection.execute(ACTIVE)]


@pytest.mark.cluster
def test_eight_checkouts_log_to_a_fresh_postgresql(tmp_path: Path) -> None:
    with postgres() as address:
        new, told = log_at_once(tmp_path, address, count=8)
        found = active_runs(address)
    assert len(found) == len(set(found)) == 4 * (1 + 2)  # four variants, two seeds each
    assert {status for _, _, status in found} == {"FINISHED"}
    assert new == 4
    # One of them made the experiment, and said where files go; all can reach that folder.
    assert len([line for line in told if "files of runs go to" in line]) == 1
    assert "secret" not in "".join(told)
    assert len([*tmp_path.glob("checkout-*/mlartifacts/*")]) == len(found)


@pytest.mark.cluster
def test_checkouts_log_to_one_server(tmp_path: Path) -> None:
    (folder := tmp_path / "server").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    command += ["--backend-store-uri=sqlite:///server.db", "--workers=1"]
    command += ["--serve-artifacts", "--artifacts-destination=served"]
    with daemon(command, folder / "log", cwd=folder):
        uri = f"http://127.0.0.1:{port}"
        store = Store(uri)
        wait_until(lambda: _answers(store), "server of MLflow", seconds=120)
        new, told = log_at_once(tmp_path, uri, count=3)
    import sqlite3

    with sqlite3.connect(folder / "server.db") as connection:
        found = connection.execute(ACTIVE).fetchall()
    assert len(found) == len(set(found)) == 12
    assert {status for _, _, status in found} == {"FINISHED"}
    assert new == 4 and not "".join(told)


def _answers(store: Store) -> bool:
    try:
        store.reach()
    except OSError:
        return False
    return True


def run(status: str, **tags: str) -> Any:
    """A run as MLflow gives it."""
    names = {f"logger.{name}": value for name, value in tags.items()}
    return SimpleNamespace(info=SimpleNamespace(status=status), data=SimpleNamespace(tags=names))


def test_a_run_that_a_living_process_logs_is_known() -> None:
    now, here = f"{time.time():.0f}", platform.node()
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        alive = {"host": here, "process": str(other.pid), "began": now}
        assert sharing.is_being_logged(run("RUNNING", **alive))
        assert not sharing.is_being_logged(run("FINISHED", **alive))
        other.communicate(b"\n")
    assert not sharing.is_being_logged(run("RUNNING", **alive))  # it has ended
    assert not sharing.is_being_logged(run("RUNNING"))  # of an earlier version
    elsewhere = {"host": "another", "process": "1"}
    assert sharing.is_being_logged(run("RUNNING", **elsewhere, began=now))
    assert not sharing.is_being_logged(run("RUNNING", **elsewhere, began="1000000000"))


def test_a_folder_of_another_machine_is_known(tmp_path: Path) -> None:
    assert not sharing.is_elsewhere(tmp_path.as_uri())
    assert sharing.is_elsewhere((tmp_path / "no such folder").as_uri())
    assert not sharing.is_elsewhere("mlflow-artifacts:/1")
    assert not sharing.is_elsewhere("s3://bucket/1")
