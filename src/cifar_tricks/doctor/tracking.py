"""MLflow's store: whether it can be reached and what it holds; it is not made by looking."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cifar_tricks.doctor.finding import FAIL, OK, Finding
from cifar_tricks.tracking.store import Store, find_store


def tracking() -> Iterator[Finding]:
    """Whether MLflow's store can be reached and what it holds; it is not made by looking."""
    store = find_store()
    if not store.exists:
        yield Finding("tracking", OK, f"{store.name} is not there yet; make repro fills it")
    elif store.file is not None:
        try:
            yield Finding("tracking", OK, f"{store.name}: {_num_runs(store.file)} runs")
        except sqlite3.Error as error:
            yield Finding("tracking", FAIL, f"{store.name}: {error}; make verify tells more")
    else:
        yield _reached(store)


def _num_runs(file: Path) -> int:
    address = f"{file.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=5)) as connection:
        query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
        return int(connection.execute(query).fetchone()[0])


def _reached(store: Store) -> Finding:
    """Of a server, or of a database with one: MLflow would make its tables in an empty one, so
    there only the connection is tried."""
    try:
        store.reach()
    except OSError as error:
        text = f"{store.name} does not answer ({type(error).__name__}): start it, or unset "
        return Finding("tracking", FAIL, f"{text}MLFLOW_TRACKING_URI")
    count = f": {_num_served_runs(store.uri)} runs" if store.served else " answers"
    return Finding("tracking", OK, f"{store.name}{count}")


def _num_served_runs(uri: str) -> int:
    from mlflow import MlflowClient

    client, count, token = MlflowClient(tracking_uri=uri), 0, None
    experiments = [one.experiment_id for one in client.search_experiments()]
    while experiments:
        page = client.search_runs(experiments, max_results=1000, page_token=token)
        count, token = count + len(page), page.token
        if not token:
            break
    return count
