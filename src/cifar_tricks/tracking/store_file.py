"""An SQLite store, looked at without MLflow, whose import and opening take many seconds.

The tables are MLflow's own. Where a later version has others, nothing is found, and MLflow is
asked.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from urllib.parse import quote

from cifar_tricks.tracking.run_table import EXPERIMENT_TAGS, VIEW_TAG, experiment_name
from cifar_tricks.tracking.store import Store

ENDED = ("FINISHED", "FAILED")
# Columns that hold absolute paths, with the keys of their tables.
PLACES = (
    ("experiments", "experiment_id", "artifact_location"),
    ("runs", "run_uuid", "artifact_uri"),
)
LOGGED = """\
SELECT identity.value, role.value, runs.status, runs.run_uuid
FROM experiments
JOIN experiment_tags AS view ON view.experiment_id = experiments.experiment_id
JOIN runs ON runs.experiment_id = experiments.experiment_id
JOIN tags AS identity ON identity.run_uuid = runs.run_uuid AND identity.key = 'identity'
JOIN tags AS role ON role.run_uuid = runs.run_uuid AND role.key = 'role'
WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active'
AND experiments.artifact_location = ? AND view.key = ? AND view.value = ?
AND runs.lifecycle_stage = 'active'"""
REGISTERED = """\
SELECT versions.version, versions.run_id, aliases.version
FROM model_versions AS versions
JOIN model_version_tags AS tags ON tags.name = versions.name AND tags.version = versions.version
JOIN registered_model_aliases AS aliases ON aliases.name = versions.name AND aliases.alias = ?
WHERE versions.name = ? AND versions.current_stage != 'Deleted_Internal'
AND tags.key = 'weights_sha256' AND tags.value = ?"""


def logged_identities(store: Store, scale: str) -> set[str]:
    """The tags ``identity`` of the runs that need not be logged again.

    Args:
        store: any.
        scale: a key of ``scales``.

    Returns:
        Those of variants that ended and whose files are there, and of interrupted trainings;
        nothing where that cannot be told, such as on a server.
    """
    if store.file is None or store.artifacts is None:
        return set()
    place = store.artifacts.as_uri()
    rows = _select(
        store, LOGGED, experiment_name(scale), place, VIEW_TAG, EXPERIMENT_TAGS[VIEW_TAG]
    )
    return {
        identity
        for identity, role, status, run in rows
        if role == "interrupted" or (status in ENDED and (store.artifacts / run).is_dir())
    }


def registered_version(store: Store, name: str, alias: str, sha256: str) -> tuple[str, bool] | None:
    """The version of a registered model that holds these weights.

    Returns:
        Its number, and whether the alias names it; None where there is none whose files are there,
        where nothing has the alias, or where that cannot be told.
    """
    for version, run, current in _select(store, REGISTERED, alias, name, sha256):
        if has_files(store, run, "model"):
            return str(version), version == current
    return None


def has_files(store: Store, run: str, folder: str = "") -> bool:
    """Whether the files of a run are there; where others log too they are taken for there."""
    if store.file is None or store.artifacts is None:
        return True
    return (store.artifacts / run / "artifacts" / folder).is_dir()


def _select(store: Store, query: str, *values: str) -> list[tuple[str, ...]]:
    if store.file is None or not store.exists:
        return []
    address = f"file:{quote(str(store.file))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=store.busy_seconds)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return []


def prepare_database(store: Store) -> None:
    """Gets an SQLite store ready for MLflow, which would try a bad one for minutes.

    MLflow keeps absolute paths. Where the folder of the database was moved or copied, those of its
    artifacts are made the present ones, so that nothing is read from or written to the old place.

    Raises:
        sqlite3.Error: it is damaged, locked or read-only.
    """
    if store.file is None or store.artifacts is None:
        return
    here = store.artifacts.as_uri()
    connection = sqlite3.connect(store.file, timeout=store.busy_seconds, isolation_level=None)
    with closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        for table, key, column in PLACES if "experiments" in known else ():
            for number, place in connection.execute(
                f"SELECT {key}, {column} FROM {table}"
            ).fetchall():
                old = re.fullmatch(r"(?:file://)?/.*/mlartifacts(/.*)?", place or "")
                if old and place != (new := here + (old[1] or "")):
                    change = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
                    connection.execute(change, (new, number))
        connection.execute("COMMIT")
