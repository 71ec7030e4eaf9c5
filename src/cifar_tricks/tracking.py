"""MLflow, where runs are compared.

It is a sink. Results are read from the files that the stages wrote, never from here; what is looked
up here is only whether a run was logged already, and its id for a link.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from cifar_tricks.errors import UserError
from cifar_tricks.files import adopt_file, project_root
from cifar_tricks.records import Record, make_record
from cifar_tricks.schema import Params
from cifar_tricks.store import (
    ENVIRONMENT,
    EXPERIMENT_TAGS,
    LOCK_SECONDS,
    VIEW_TAG,
    Store,
    experiment_name,
    find_store,
    without_password,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_BATCH = 1000  # MLflow's limit
DECIMALS = 4  # its tables print every digit that there is; metrics.json has the exact values


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What a call of :func:`track` did.

    Args:
        new: variants that were logged now.
        total: variants that are logged now, with those that were already.
        store: where, without passwords.
    """

    new: int
    total: int
    store: str


def track(params: Params, keys: Sequence[str], metrics: dict[str, Any], *, folder: Path) -> Tracked:
    """Logs variants that are not logged yet: one run each, and beneath it one per seed.

    Args:
        params: the checked parameters; their scale names the experiment in MLflow.
        keys: which variants.
        metrics: the content of ``metrics.json``.
        folder: of the report, with its ``figures/``.

    Raises:
        UserError: a file of a run is missing or damaged, or the store cannot be reached.
    """
    records = [make_record(params.scale, key, metrics, folder=folder) for key in keys]
    store = find_store()
    new = 0
    with told_in_one_line(store):
        lock = store.lock()
        with lock:
            client = open_store(store)
            experiment = _experiment(client, params.scale, store)
        for record in records:
            # Per variant, so that experiments that run at the same time take turns.
            with lock:
                new += _log_once(client, experiment, record)
    return Tracked(new=new, total=len(records), store=store.name)


def run_ids(scale: str, keys: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The latest runs of variants, for a link.

    Args:
        scale: a key of ``scales``.
        keys: of the variants.

    Returns:
        The id of the experiment ("" if there is none), and the ids of the runs found by key.

    Raises:
        UserError: the store cannot be reached.
    """
    store = find_store()
    with told_in_one_line(store), store.lock():
        client = open_store(store)
        experiment = client.get_experiment_by_name(experiment_name(scale))
        if experiment is None or experiment.lifecycle_stage != "active":
            return "", {}
        found: dict[str, str] = {}
        for key in keys:
            where = f"tags.variant = '{key}' and tags.role = 'variant'"
            for run in client.search_runs([experiment.experiment_id], where, max_results=1):
                found[key] = run.info.run_id
        return experiment.experiment_id, found


@contextmanager
def told_in_one_line(store: Store) -> Iterator[None]:
    """Turns whatever goes wrong with the store into a UserError; imports MLflow."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # read when MLflow is imported
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    later = "what is not logged yet is logged by the next dvc repro"
    try:
        yield
    except Timeout as error:
        busy = f"another process has been using it for {LOCK_SECONDS} s"
        raise UserError(f"MLflow at {store.name}: {busy}; {later}") from error
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        # SQLAlchemy goes on with the statement and a link.
        reason = without_password(" ".join(str(error).split("[SQL")[0].split()))[:300]
        raise UserError(f"MLflow at {store.name}: {reason}; {later}") from error


def open_store(store: Store) -> MlflowClient:
    """A client of the store, which is made where it is not there; call it under its lock."""
    from mlflow import MlflowClient

    if store.file is not None and not store.exists:
        # In one step: a first opening that is killed leaves a file that MLflow cannot go on with.
        unfinished = store.file.with_name(store.file.name + ".new")
        unfinished.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"sqlite:///{unfinished}")
        adopt_file(unfinished, store.file)
    store.check()
    return MlflowClient(tracking_uri=store.uri)


def _experiment(client: MlflowClient, scale: str, store: Store) -> str:
    found = client.get_experiment_by_name(experiment_name(scale))
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if found.tags.get(VIEW_TAG) != EXPERIMENT_TAGS[VIEW_TAG]:
            client.set_experiment_tag(found.experiment_id, VIEW_TAG, EXPERIMENT_TAGS[VIEW_TAG])
        return found.experiment_id
    # Without a location MLflow would use the current folder.
    location = None if store.served else (project_root() / "mlartifacts").resolve().as_uri()
    return client.create_experiment(experiment_name(scale), location, EXPERIMENT_TAGS)


def _log_once(client: MlflowClient, experiment: str, record: Record) -> bool:
    """Logs the record unless it is there; replaces what a killed process left unfinished."""
    found = client.search_runs([experiment], f"tags.identity = '{record.tags['identity']}'")
    if any(run.info.status != "RUNNING" for run in found):
        return False
    for run in found:
        where = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        for seed in client.search_runs([experiment], where):
            client.delete_run(seed.info.run_id)
        client.delete_run(run.info.run_id)
    parent = _begin(client, experiment, record, {"role": "variant"})
    for child in record.children:
        tags = {"role": "seed", "mlflow.parentRunId": parent}
        _end(client, _begin(client, experiment, child, tags), child)
    _end(client, parent, record)  # last: a run that has ended is complete
    return True


def _begin(client: MlflowClient, experiment: str, record: Record, tags: dict[str, str]) -> str:
    from mlflow.entities import Metric, Param

    start, end = _milliseconds(record)
    run = client.create_run(experiment, start_time=start, tags=record.tags | tags)
    run_id: str = run.info.run_id
    points = {(name, 0): value for name, value in record.metrics.items()} | record.curves
    metrics = [Metric(n, round(v, DECIMALS), end, step) for (n, step), v in points.items()]
    params = [Param(name, value) for name, value in record.params.items()]
    client.log_batch(run_id, metrics[:METRICS_PER_BATCH], params)
    for first in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics[first : first + METRICS_PER_BATCH])
    for path, folder in record.files:
        client.log_artifact(run_id, str(path), folder or None)
    return run_id


def _end(client: MlflowClient, run_id: str, record: Record) -> None:
    status = "FAILED" if record.diverged else "FINISHED"
    client.set_terminated(run_id, status, end_time=_milliseconds(record)[1])


def _milliseconds(record: Record) -> tuple[int, int]:
    start, end = record.times or (time.time(), time.time())
    return int(start * 1000), int(end * 1000)
