"""``make ui``: its port, its links, and the real server on a real store."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands import ui


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.fault("hostile", tried=3)
def test_the_environment_cannot_weaken_the_servers_protections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switches = ("DISABLE_SECURITY_MIDDLEWARE", "CORS_ALLOWED_ORIGINS", "ALLOWED_HOSTS")
    for switch in switches:
        monkeypatch.setenv(f"MLFLOW_SERVER_{switch}", "*")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    environment = ui.server_environment()
    assert not {f"MLFLOW_SERVER_{switch}" for switch in switches} & set(environment)
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_the_next_free_port_is_used(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "FIRST_PORT", taken)
    assert taken < ui.choose_port("") < taken + 100


def test_a_port_that_was_asked_for_is_used_or_refused(taken: int) -> None:
    with pytest.raises(UserError, match=f"PORT = {taken}: in use"):
        ui.choose_port(str(taken))
    for wrong in ("0", "65536", "-1", "http", "²"):
        with pytest.raises(UserError, match=f"PORT = {wrong}: valid: 1 to 65535"):
            ui.choose_port(wrong)


def test_host_names_are_taken_or_refused() -> None:
    assert ui.choose_hosts("") == ui.choose_hosts(" ") == []
    assert ui.choose_hosts("GPU.example.org, 10.0.0.7:8443") == ["gpu.example.org", "10.0.0.7:8443"]
    for wrong in (
        "*",
        "*.org",
        "http://gpu",
        "gpu,",
        "gpu:0",
        "gpu:65536",
        "a b",
        "a..b",
        "gpu/",
        "ä",
    ):
        with pytest.raises(UserError, match=r"UI_HOSTS = .*: valid: host names"):
            ui.choose_hosts(wrong)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A champion."""
    monkeypatch.chdir(tmp_path)
    Path("reports/quick/champion").mkdir(parents=True)
    Path("reports/quick/champion/model.json").write_text(json.dumps({"key": "improve-best"}))


def test_links_compare_the_baseline_with_the_best(
    report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui, "run_ids", lambda _, keys: ("7", {key: f"id-{key}" for key in keys}))
    links = ui.page_links("quick", "http://127.0.0.1:5000")
    pair = "model1-baseline and improve-best"
    assert list(links) == ["All runs", f"{pair}, their curves", f"{pair}, value by value"]
    page = urlsplit(urlsplit(links[f"{pair}, value by value"]).fragment)
    assert page.path == "/compare-runs"
    query = parse_qs(page.query)
    assert json.loads(query["runs"][0]) == ["id-model1-baseline", "id-improve-best"]
    assert json.loads(query["experiments"][0]) == ["7"]


def test_links_are_those_that_there_are_runs_for(
    report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui, "run_ids", lambda *_: ("7", {"model1-baseline": "id"}))
    assert list(ui.page_links("quick", "")) == ["All runs"]
    monkeypatch.setattr(ui, "run_ids", lambda *_: ("", {}))
    with pytest.raises(UserError, match="make repro first"):
        ui.page_links("quick", "")


def _ui(folder: Path, *options: str) -> subprocess.Popen[str]:
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-m", "cifar_tricks", "ui", *options],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_a_store_one_line_says_what_to_do(tmp_path: Path) -> None:
    process = _ui(tmp_path)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("error: no runs are logged yet") and "make repro first" in errors
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
@pytest.mark.fault("hostile", tried=4)
def test_the_server_answers_to_this_machine_only(tmp_path: Path) -> None:
    logging = (
        "from cifar_tricks.tracking.client import logging_session\n"
        "with logging_session('quick'): pass"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", logging], cwd=tmp_path, env=environment, check=True)
    port = ui.choose_port("")
    process = _ui(tmp_path, "--port", str(port), "--hosts", "gpu.example.org, node7:8443")
    assert process.stdout
    try:
        lines = list(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        assert any("/#/experiments/1/runs?" in line for line in lines)
        assistant = "/ajax-api/3.0/mlflow/assistant/config"
        assert _status(port, f"127.0.0.1:{port}", path=assistant) == 404
        # The second is what a browser sends through `ssh -L 8080:127.0.0.1:PORT`.
        good = [f"127.0.0.1:{port}", "localhost:8080", "gpu.example.org", "gpu.example.org:80"]
        bad = [
            "evil.example",
            "localhost.evil.example:80",
            "node7",
            "node7:8444",
            "a.gpu.example.org",
        ]
        answers = {host: _status(port, host) for host in (*good, "node7:8443", *bad)}
        assert answers == dict.fromkeys((*good, "node7:8443"), 200) | dict.fromkeys(bad, 403)
        # A page of another site that the reader has open.
        search, body = "/ajax-api/2.0/mlflow/experiments/search", b'{"max_results": 1}'
        headers = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"}
        origins = {"http://evil.example": 403, "https://node7:8443": 200, "http://node7:1": 403}
        origins |= {"http://localhost:8080": 200, f"http://127.0.0.1:{port}": 200}
        for origin, status in origins.items():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", search, body, {**headers, "Origin": origin})
            assert connection.getresponse().status == status, origin
        with pytest.raises(OSError):
            _status(port, "a server on all addresses", address="127.0.0.2")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        _status(port, "127.0.0.1")


def _status(port: int, host: str, *, address: str = "127.0.0.1", path: str = "/") -> int:
    connection = http.client.HTTPConnection(address, port, timeout=20)
    connection.request("GET", path, headers={"Host": host})
    return connection.getresponse().status
