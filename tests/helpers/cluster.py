"""Servers for the tests of `make test-cluster`: real ones, on addresses of this machine only."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest


def program(name: str, *places: str) -> str:
    """The path of a program; without it the test is skipped."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *places]))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on."""
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, *, seconds: float = 60) -> None:
    """Waits for something; fails where it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.1)


@contextmanager
def daemon(command: Sequence[str], log: Path, **settings: object) -> Iterator[psutil.Popen]:
    """A server in the foreground; it and all that it started are ended."""
    with log.open("ab") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, **settings,
        )  # fmt: skip
    try:
        yield process
    finally:
        end_tree(process, signal.SIGTERM)


def end_tree(process: psutil.Process, number: int) -> None:
    """Sends a signal to a process and all below it; kills what is left after ten seconds."""
    with suppress(psutil.NoSuchProcess):
        tree = [*process.children(recursive=True), process]
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        for one in psutil.wait_procs(tree, timeout=10)[1]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(tree, timeout=5)


@contextmanager
def postgres() -> Iterator[str]:
    """PostgreSQL with an empty database; its address, which has a password."""
    pytest.importorskip("psycopg", reason="make setup-dev EXTRAS=postgres brings it")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = program("initdb", *map(str, versions[-1:]))
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        user: dict[str, object] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres")
        yield from _serve(Path(folder), initdb, user)


def _serve(folder: Path, initdb: str, user: dict[str, object]) -> Iterator[str]:
    password = folder / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    command = [initdb, "-D", "data", "-U", "study", "-A", "scram-sha-256", "--pwfile", "password"]
    subprocess.run(
        [*command, "--no-sync"], cwd=folder, check=True, stdout=subprocess.DEVNULL, **user
    )
    port = free_port()
    options = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]
    command = [
        str(Path(initdb).resolve().with_name("postgres")),
        "-D",
        str(folder / "data"),
        "-p",
        str(port),
        *options,
    ]
    with daemon(command, folder / "log", cwd=folder, **user):
        address = f"postgresql://study:secret@127.0.0.1:{port}/postgres"
        wait_until(lambda: _answers(address), "PostgreSQL")
        yield address


def _answers(address: str) -> bool:
    import psycopg

    with suppress(psycopg.OperationalError):
        psycopg.connect(address).close()
        return True
    return False
