"""The store in which MLflow keeps runs: its address, its lock, and MLflow's settings.

MLflow itself is not imported here.
"""

from __future__ import annotations

import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from filelock import FileLock

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.base.variables import action

VARIABLE = "MLFLOW_TRACKING_URI"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # its errors arrive as exceptions
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down is told in seconds; MLflow would try for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
LOCK_SECONDS = 120  # a first opening takes some 10 s, a variant well under one
BUSY_SECONDS = 10.0
# Databases with a server that MLflow knows, with their usual ports.
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
VALID = (
    "valid: sqlite:///file.db, http://..., https://..., databricks, postgresql://..., mysql://..."
)


@dataclass(frozen=True)
class Store:
    """Where runs are logged.

    Args:
        uri: as MLflow takes it.
        file: of an SQLite store, absolute; None for any other.
        busy_seconds: how long to wait for another program that writes to the file.
    """

    uri: str
    file: Path | None = None
    busy_seconds: float = BUSY_SECONDS

    @property
    def name(self) -> str:
        """The address as one may print it and give it to MLflow: without user and password."""
        plain = self.file is not None and not re.search("[%?#]", str(self.file))
        return f"sqlite:///{self.file}" if plain else without_password(self.uri)

    @property
    def served(self) -> bool:
        """Whether a server keeps the runs, and knows where their files go."""
        return self.uri.startswith(("http://", "https://", "databricks"))

    @property
    def artifacts(self) -> Path | None:
        """Where files of runs go: beside the database; None where a server decides."""
        if self.served:
            return None
        return (self.file.parent if self.file else project_root().resolve()) / "mlartifacts"

    @property
    def exists(self) -> bool:
        """False for an SQLite store that was never opened."""
        return self.file is None or (self.file.exists() and self.file.stat().st_size > 0)

    def lock(self) -> FileLock:
        """Of this checkout, see :func:`cifar_tricks.tracking.sharing.lock`."""
        file = self.file or project_root() / "mlflow.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file.with_name(file.name + ".lock"), timeout=LOCK_SECONDS)

    def reach(self) -> None:
        """Asks whether a server is there; MLflow would try for minutes.

        Raises:
            OSError: nothing answers.
        """
        parts = urlsplit(self.uri)
        if parts.scheme in ("http", "https"):
            try:
                # Through a proxy where one is set, as MLflow goes.
                urllib.request.urlopen(without_password(self.uri), timeout=BUSY_SECONDS).close()
            except urllib.error.HTTPError as answer:
                answer.close()
            except urllib.error.URLError as error:
                # A certificate is MLflow's to judge, by its own settings.
                if "CERTIFICATE" not in str(error.reason):
                    raise
        elif parts.hostname and self.file is None and not self.served:
            port = parts.port or PORTS[parts.scheme.partition("+")[0]]
            socket.create_connection((parts.hostname, port), timeout=BUSY_SECONDS).close()


def find_store() -> Store:
    """The store that ``MLFLOW_TRACKING_URI`` names, or else ``mlflow.db`` in the main checkout.

    Raises:
        UserError: the variable names none that MLflow can keep runs in.
    """
    address = os.environ.get(VARIABLE, "").strip()
    if not address:
        return sqlite_store(project_root() / "mlflow.db")
    scheme, separator, rest = address.partition("://")
    dialect = scheme.partition("+")[0].lower()
    if dialect == "sqlite" and separator:
        return _named_file(address, rest)
    known = dialect in PORTS or scheme.lower() in ("http", "https", "databricks")
    if address != "databricks" and not (known and separator and rest):
        here = sqlite_store(project_root() / "mlflow.db").name
        folder = re.match("file:|[^:]*$", address)
        kind = "MLflow keeps no runs in folders; " if folder else ""
        raise UserError(
            f"{VARIABLE} = {without_password(address)}: {kind}{VALID}; unset it for {here}"
        )
    with suppress(ValueError):
        if dialect == "databricks" or urlsplit(address).port != 0:
            return Store(scheme.lower() + separator + rest)
    raise UserError(f"{VARIABLE} = {without_password(address)}: not an address; {VALID}")


def sqlite_store(file: Path, options: str = "", busy_seconds: float | None = None) -> Store:
    """The store in an SQLite file.

    Args:
        file: also one that is not there yet.
        options: of SQLAlchemy's dialect, e.g. ``timeout=30``.
        busy_seconds: how long to wait for another program that writes to the file.
    """
    file = file.resolve()
    # SQLAlchemy decodes the path. With the driver's name in the address MLflow leaves it alone;
    # without, it makes the folder that the encoded path would name.
    uri = f"sqlite+pysqlite:///{quote(str(file))}{'?' + options if options else ''}"
    return Store(uri, file, BUSY_SECONDS if busy_seconds is None else busy_seconds)


def _named_file(address: str, rest: str) -> Store:
    """The store of an address of SQLite; a relative path begins in the main checkout."""
    path, _, options = rest.partition("?")
    name = unquote(path.removeprefix("/"))
    if not path.startswith("/") or name in ("", ":memory:") or name.startswith("file:"):
        problem = "names no file that runs could be kept in; valid: sqlite:///mlflow.db"
        raise UserError(f"{VARIABLE} = {address}: {problem}")
    file = project_root() / Path(name).expanduser()
    if file.is_dir():
        raise UserError(f"{VARIABLE} = {address}: {file} is a folder; valid: sqlite:///mlflow.db")
    timeout = parse_qs(options).get("timeout", [str(BUSY_SECONDS)])[-1]
    try:
        return sqlite_store(file, options, float(timeout))
    except ValueError as error:
        problem = f"timeout = {timeout}: valid: seconds, as in sqlite:///mlflow.db?timeout=30"
        raise UserError(f"{VARIABLE} = {address}: {problem}") from error


def mlflow_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for MLflow: of its own variables only those that say how to reach a store."""
    kept = {
        name: value
        for name, value in environment.items()
        if not (name.startswith(("MLFLOW_", "_MLFLOW_")) and action(name) == "cleared")
    }
    return {**ENVIRONMENT, **kept}


def without_password(text: str) -> str:
    """The text with the user and password of addresses left out."""
    return re.sub(r"//[^/@\s]*@", "//", text)
