"""Joining a Ray cluster: safely, and with what fails told in one line."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from typing import Any

from cifar_tricks.base.errors import UserError

REACH_SECONDS = 10.0
UNCHECKED = "the cluster takes anybody's code: start it with RAY_AUTH_MODE=token (docs/cluster.md)"


def connect(address: str, *, insecure: bool) -> Any:
    """Joins the cluster from a machine that is one of its nodes; returns the package ``ray``.

    Args:
        address: of the head node, ``host:port``.
        insecure: whether a cluster without tokens will do.

    Raises:
        UserError: Ray is not here, nothing answers, or it refuses this process or nobody.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"ENGINE_ADDRESS = {address}: valid: host:port of Ray's head node")
    # Nothing is reported to anybody; on nodes: docs/cluster.md.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("ENGINE = ray: Ray is not installed: make setup EXTRAS=ray") from error
    try:
        found = socket.gethostbyname(host)
        socket.create_connection((found, int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise UserError(f"ENGINE_ADDRESS = {address}: {error}: is the head node up?") from error
    _check_token(f"{found}:{port}", insecure=insecure)
    own: dict[str, Any] = {"_node_ip_address": found} if _is_own(found) else {}
    try:
        ray.init(address=f"{found}:{port}", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:
        # Of a wrong token, another version, no node on this machine: what Ray's parts raise.
        first = " ".join(str(error).split())[:300]
        raise UserError(f"ENGINE_ADDRESS = {address}: {type(error).__name__}: {first}") from error
    return ray


def _check_token(address: str, *, insecure: bool) -> None:
    """Whether the cluster takes this process, and refuses those who have no token."""
    if os.environ.get("RAY_AUTH_MODE") != "token" and not insecure:
        raise UserError(f"RAY_AUTH_MODE is not token: {UNCHECKED}, or say --insecure")
    # Ray itself would try for half a minute, with a line for each second.
    if refusal := _refusal(address, dict(os.environ)):
        raise UserError(f"ENGINE_ADDRESS = {address}: {refusal}")
    without = {name: v for name, v in os.environ.items() if not name.startswith("RAY_AUTH")}
    if not insecure and not _refusal(address, without | {"RAY_AUTH_MODE": "disabled"}):
        raise UserError(f"ENGINE_ADDRESS = {address}: {UNCHECKED}, or say --insecure")


def _refusal(address: str, environment: dict[str, str]) -> str:
    """What Ray answers to a process with this environment, "" if it takes it."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=6 * REACH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "it does not answer as Ray does"
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no such cluster"]
    return lines[-1].partition(". ")[0][:200] if done.returncode else ""


def _is_own(host: str) -> bool:
    """Whether an address is one of this machine."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
