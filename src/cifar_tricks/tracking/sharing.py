"""A store that several machines log to at once: who may write, and where files of runs go."""

from __future__ import annotations

import os
import platform
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import psutil
from filelock import FileLock

from cifar_tricks.tracking.store import LOCK_SECONDS, Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOST, PROCESS, BEGAN = "logger.host", "logger.process", "logger.began"
# On another machine nobody can ask whether a process lives; a variant is logged in seconds.
ABANDONED_SECONDS = 600
# Of PostgreSQL's advisory locks, which belong to a database: any number that others do not use.
LOCK_NUMBER = 0x6369666172


class DatabaseLock:
    """Held by one session of a PostgreSQL database at a time; it ends with the session."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: Connection | None = None

    def __enter__(self) -> None:
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import NullPool

        self._store.reach()
        engine = create_engine(
            self._store.uri, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True
        )
        connection = engine.connect()
        try:
            connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK_NUMBER})"))
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._connection is not None
        self._connection.close()


def lock(store: Store) -> FileLock | DatabaseLock:
    """Held while opening and writing, so that processes take turns: those of all machines where
    the store is a file or PostgreSQL, elsewhere those of this checkout.

    MLflow's first opening fails when several processes do it at once.
    """
    return DatabaseLock(store) if _is_postgres(store) else store.lock()


def has_turns(store: Store) -> bool:
    """Whether whoever holds :func:`lock` is the only one who logs."""
    return store.file is not None or _is_postgres(store)


def _is_postgres(store: Store) -> bool:
    return store.file is None and store.uri.startswith("postgresql")


def logger_tags() -> dict[str, str]:
    """Who logs a run, for those who find it unfinished."""
    return {HOST: platform.node(), PROCESS: str(os.getpid()), BEGAN: f"{time.time():.0f}"}


def is_being_logged(run: Any) -> bool:
    """Whether another process that lives is logging a run of MLflow, or may be."""
    tags = run.data.tags
    host, process, began = (tags.get(name, "") for name in (HOST, PROCESS, BEGAN))
    if run.info.status != "RUNNING" or not (process.isdecimal() and began.isdecimal()):
        return False
    if host != platform.node():
        return time.time() - int(began) < ABANDONED_SECONDS
    return int(process) != os.getpid() and psutil.pid_exists(int(process))


def is_elsewhere(place: str) -> bool:
    """Whether an address of artifacts is a folder that this machine does not have."""
    if not place.startswith(("file:", "/")):
        return False
    return not os.path.isdir(unquote(urlsplit(place).path))  # noqa: PTH112
