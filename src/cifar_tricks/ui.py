"""``make ui``: MLflow's pages about the logged runs, for this machine only."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from cifar_tricks.errors import UserError
from cifar_tricks.params import load_params
from cifar_tricks.store import ENVIRONMENT, VIEW_NAME, Store, find_store
from cifar_tricks.tracking import run_ids, track_interrupted

HOST = "127.0.0.1"
FIRST_PORT = 5000
BASELINE = "model1-baseline"
START_SECONDS = 120
# DVC takes `track` for done where only its store was deleted.
LOG_THEM = "make repro first, or dvc repro --force --single-item track"
# The server only shows: it runs no jobs and loads no pickles.
SERVER_ENVIRONMENT = {
    **ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "PYTHONWARNINGS": "ignore",  # of its own dependencies
    # By default 15 connections, for which requests wait 30 s and then fail.
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "200",
}


def show_runs(port: str) -> int:
    """Starts the pages, prints their links and waits for Ctrl-C.

    Args:
        port: a number; "" for the first free one from 5000.

    Returns:
        The exit code.

    Raises:
        UserError: a mistake in params.yaml or ``port``, no runs are logged, or no server starts.
    """
    free = choose_port(port)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _show(load_params().scale, free)
    except KeyboardInterrupt:
        return 0


def _interrupt(*_: object) -> None:
    """Ends like Ctrl-C, so that the server is stopped too."""
    raise KeyboardInterrupt


def _show(scale: str, port: int) -> int:
    store = find_store()
    track_interrupted(scale)
    if not store.exists:
        raise UserError(f"no runs are logged yet in {store.name}: {LOG_THEM}")
    if store.uri.startswith(("http://", "https://")):
        _print_links(page_links(scale, store.name.rstrip("/")))
        return 0
    links = page_links(scale, f"http://{HOST}:{port}")
    server = _start(store, port)
    try:
        _wait_until_up(server, port)
        _print_links(links)
        print("\nCtrl-C ends it.", flush=True)
        return server.wait()
    finally:
        # The server is a group of processes.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def choose_port(wanted: str) -> int:
    """A port that nothing listens on yet.

    Args:
        wanted: a number; "" for the first free one from 5000.

    Raises:
        UserError: not a port, or in use.
    """
    if wanted and not (wanted.isdecimal() and 1 <= int(wanted) <= 65_535):
        raise UserError(f"PORT = {wanted}: valid: 1 to 65535")
    for port in [int(wanted)] if wanted else range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise UserError(
        f"PORT = {wanted or FIRST_PORT}: in use or not allowed; choose another: PORT=5001"
    )


def page_links(scale: str, address: str) -> dict[str, str]:
    """The pages that are worth a link, by what they show.

    Args:
        scale: a key of ``scales``.
        address: of the server, without a final slash.

    Raises:
        UserError: no runs of this scale are logged, or the store cannot be reached.
    """
    keys = [BASELINE, *_best(scale)]
    experiment, found = run_ids(scale, keys)
    if not experiment:
        raise UserError(f"no runs of scale {scale} are logged yet: {LOG_THEM}")
    runs = f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    links = {"All runs": f"{runs}&viewStateShareKey={VIEW_NAME}"}
    if len(found) == 2:
        ids = ", ".join(f"'{run_id}'" for run_id in found.values())
        where = quote(f"attributes.run_id IN ({ids})")
        pair = " and ".join(keys)
        links[f"{pair}, their curves"] = f"{runs}&compareRunsMode=CHART&searchFilter={where}"
        listed, experiments = (
            quote(json.dumps(part, separators=(",", ":")))
            for part in ([*found.values()], [experiment])
        )
        # MLflow's page wants `runs` to come first.
        links[f"{pair}, value by value"] = (
            f"{address}/#/compare-runs?runs={listed}&experiments={experiments}"
            "&workflowType=machine_learning"
        )
    return links


def _best(scale: str) -> list[str]:
    """The variant that the stage ``champion`` chose, if any."""
    try:
        about = json.loads((Path("reports") / scale / "champion/model.json").read_bytes())
    except (OSError, ValueError):
        return []
    return [about["key"]] if about["key"] not in (None, BASELINE) else []


def _start(store: Store, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cifar_tricks.ui_server", store.uri, HOST, str(port)]
    return subprocess.Popen(command, env=server_environment(), start_new_session=True)


def server_environment() -> dict[str, str]:
    """The environment of the server: nothing that the user's sets may weaken its protections, such
    as the check of host names or of the pages that ask."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_SERVER_")
    }
    return kept | SERVER_ENVIRONMENT


def _wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        connection.close()
        time.sleep(0.2)
    raise UserError(f"MLflow's server did not start on {HOST}:{port}; its own lines above say why")


def _print_links(links: dict[str, str]) -> None:
    for shown, link in links.items():
        print(f"\n{shown}:\n  {link}")
