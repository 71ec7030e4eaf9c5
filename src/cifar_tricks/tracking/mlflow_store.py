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
    try:
        if store.file is not None and not store.exists:
            _make(store)
        prepare_database(store)
        return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
    except (TypeError, ValueError) as error:  # an option or variable that cannot be read
        raise _failed(store, str(error)) from error


def _make(store: Store) -> None:
    """In one step: a first opening that is killed leaves a file that MLflow cannot go on with."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    assert store.file is not None and store.artifacts is not None
    unfinished = store.file.with_name(store.file.name + ".new")
    unfinished.unlink(missing_ok=True)
    # The place is encoded, because MLflow writes it into a statement as it is.
    SqlAlchemyStore(sqlite_store(unfinished).uri, store.artifacts.as_uri())  # type: ignore[no-untyped-call]
    adopt_file(unfinished, store.file)
