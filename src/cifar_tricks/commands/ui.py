"""``make ui``: MLflow's pages about the logged runs, for this machine only."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.tracking.run_table import VIEW_NAME
from cifar_tricks.tracking.store import Store, find_store, mlflow_environment
from cifar_tricks.tracking.track import run_ids, track_interrupted

HOST = "127.0.0.1"
FIRST_PORT = 5000
LAST_PORT = 65_535
BASELINE = "model1-baseline"
START_SECONDS = 120
# A name of the domain name system or an address of IPv4, and a port.
HOST_NAME = re.compile(r"(?=.{1,260}$)([a-z0-9_-]+\.)*[a-z0-9_-]+(:([1-9]\d{0,4}))?", re.IGNORECASE)
# The server only shows: it runs no jobs and loads no pickles.
SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "PYTHONWARNINGS": "ignore",  # of its own dependencies
    # By default 15 connections, for which requests wait 30 s and then fail.
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "200",
}


def show_runs(port: str, hosts: str) -> int:
    """Starts the pages, prints their links and waits for Ctrl-C.

    Args:
        port: a number; "" for the first free one from 5000.
        hosts: names under which a proxy shows the pages; a tunnel to ``localhost`` needs none.

    Returns:
        The exit code.

    Raises:
        UserError: a mistake in params.yaml, ``port`` or ``hosts``, nothing is logged or could be,
            or no server starts.
    """
    free, names = choose_port(port), choose_hosts(hosts)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _show(load_params(), free, names)
    except KeyboardInterrupt:
        return 0


def _interrupt(*_: object) -> None:
    """Ends like Ctrl-C, so that the server is stopped too."""
    raise KeyboardInterrupt


def _show(params: Params, port: int, hosts: Sequence[str]) -> int:
    store, scale = find_store(), params.scale
    track_interrupted(scale)
    if not (store.exists and run_ids(scale, [])[0]):
        _log_what_is_there(params)
    if store.served:
        where = store.name.rstrip("/") if "://" in store.uri else "(its pages)"
        _print_links(page_links(scale, where))
        return 0
    links = page_links(scale, f"http://{HOST}:{port}")
    server = _start(store, port, hosts)
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


def _log_what_is_there(params: Params) -> None:
    """Logs the results of this folder, where the store was deleted or another one is used now."""
    from cifar_tricks.tracking.registry import catch_up

    done = catch_up(params)
    if done.new:
        print(f"{done.new} variants are new in MLflow at {done.store}", flush=True)
    elif not done.total:
        raise UserError(f"no runs are logged yet in {done.store}: make repro first")


def choose_hosts(wanted: str) -> list[str]:
    """Names under which requests are answered, beside those of this machine for itself.

    Args:
        wanted: host names, with a port or without (any port then), separated by commas.

    Raises:
        UserError: something else.
    """
    hosts = [host.strip() for host in wanted.split(",")] if wanted.strip() else []
    for host in hosts:
        found = HOST_NAME.fullmatch(host)
        if not found or int(found[3] or 1) > LAST_PORT:
            valid = "host names separated by commas, as in UI_HOSTS=gpu.example.org,gpu:8080"
            raise UserError(f"UI_HOSTS = {wanted}: valid: {valid}")
    return [host.lower() for host in hosts]


def choose_port(wanted: str) -> int:
    """A port that nothing listens on yet.

    Args:
        wanted: a number; "" for the first free one from 5000.

    Raises:
        UserError: not a port, or in use.
    """
    if wanted and not (wanted.isdecimal() and 1 <= int(wanted) <= LAST_PORT):
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
        raise UserError(f"no runs of scale {scale} are logged yet: make repro first")
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


def _start(store: Store, port: int, hosts: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cifar_tricks.tracking.server", HOST, str(port), *hosts]
    assert store.artifacts is not None
    environment = server_environment() | {
        "_MLFLOW_SERVER_FILE_STORE": store.uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": store.uri,
        # Of experiments that are made on the pages.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": store.artifacts.as_uri(),
    }
    return subprocess.Popen(command, env=environment, start_new_session=True)


def server_environment() -> dict[str, str]:
    """The environment of the server: nothing in the user's may weaken the checks of who asks."""
    return mlflow_environment(os.environ) | SERVER_ENVIRONMENT


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
