"""Opening MLflow's store: safely, by its own settings, and with its mistakes in one line."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from filelock import Timeout

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import adopt_file
from cifar_tricks.tracking.store import (
    LOCK_SECONDS,
    Store,
    mlflow_environment,
    sqlite_store,
    without_password,
)
from cifar_tricks.tracking.store_file import prepare_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The packages of what a database or a server may need, where their modules have other names.
PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "databricks": "databricks-sdk",
}


class StoreFailed(UserError):
    """The store cannot be reached or written; nothing is wrong with what was to be logged."""


LATER = "nothing else is affected; the next dvc repro logs what is missing"


@contextmanager
def told_in_one_line(store: Store, *, then: str = LATER) -> Iterator[None]:
    """Turns whatever goes wrong with the store into a StoreFailed; imports MLflow.

    Args:
        store: that is used.
        then: ends the message: what that means for the user.
    """
    settings = mlflow_environment(os.environ)
    for name in os.environ.keys() - settings.keys():
        del os.environ[name]
    os.environ.update(settings)  # read when MLflow is imported
    allow_percent_signs()
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ValueError as error:  # one of its variables
        raise _failed(store, str(error), then) from error
    try:
        yield
    except Timeout as error:
        reason = f"another process has been using it for {LOCK_SECONDS} s"
        raise _failed(store, reason, then) from error
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _failed(store, str(error), then) from error
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        package = PACKAGES.get(module, module)
        install = f".venv/bin/uv pip install '{package}'" if package else ""
        if module == "psycopg":
            install = "make setup EXTRAS=postgres"
        raise _failed(store, f"{error}{install and f'; install it: {install}'}", then) from error


@cache
def allow_percent_signs() -> None:
    """Lets MLflow lie in a folder with a % in its name, as ``.venv`` does in a project's.

    It hands the path of its migrations to alembic, which takes a % for the start of a placeholder.
    """
    from alembic import config

    class Config(config.Config):
        def set_main_option(self, name: str, value: str) -> None:
            escaped = value.replace("%", "%%") if name == "script_location" else value
            super().set_main_option(name, escaped)

    config.Config = Config  # type: ignore[misc]


def _failed(store: Store, reason: str, then: str = LATER) -> StoreFailed:
    # SQLAlchemy goes on with the statement and a link.
    line = without_password(" ".join(reason.split("[SQL")[0].split()))[:600]
    return StoreFailed(f"MLflow at {store.name}: {line}{then and f'; {then}'}")


def open_store(store: Store) -> MlflowClient:
    """A client of the store, which is made where it is not there; call it under its lock."""
    from mlflow import MlflowClient

    store.reach()
    if not store.exists:
        with new_store(store):
            pass
    with _settings_told(store):
        prepare_database(store)
        return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


@contextmanager
def _settings_told(store: Store) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:  # an option or variable that cannot be read
        raise _failed(store, str(error)) from error


@contextmanager
def new_store(store: Store) -> Iterator[Store]:
    """Makes an SQLite store, to be filled before anyone sees it; call it under its lock.

    It is a file of another name until the end, for a first opening that is killed leaves a file
    that MLflow cannot go on with. Until then nothing has to survive a power cut, so nothing waits
    for the disk, which is three quarters of the time that logging a study takes.

    Args:
        store: that does not exist.

    Yields:
        The same under its other name.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    assert store.file is not None and store.artifacts is not None
    unfinished = store.file.with_name(store.file.name + ".new")
    unfinished.unlink(missing_ok=True)
    made = sqlite_store(unfinished)
    event.listen(Engine, "connect", _wait_for_no_disk)
    try:
        with _settings_told(store):
            # The place is encoded, because MLflow writes it into a statement as it is.
            SqlAlchemyStore(made.uri, store.artifacts.as_uri())  # type: ignore[no-untyped-call]
        try:
            yield made
        finally:
            adopt_file(unfinished, store.file)
    finally:
        event.remove(Engine, "connect", _wait_for_no_disk)


def _wait_for_no_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
