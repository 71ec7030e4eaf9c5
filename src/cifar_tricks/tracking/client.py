"""Writing to MLflow's store: each run is logged once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from cifar_tricks.base.errors import Interrupted
from cifar_tricks.tracking.experiment import Experiment, open_experiment
from cifar_tricks.tracking.interrupted import ROLE as INTERRUPTED
from cifar_tricks.tracking.logged_run import LoggedRun
from cifar_tricks.tracking.mlflow_store import new_store, open_store, told_in_one_line
from cifar_tricks.tracking.sharing import (
    has_turns,
    is_being_logged,
    lock,
    logger_tags,
)
from cifar_tricks.tracking.store import Store, find_store
from cifar_tricks.tracking.store_file import ENDED, has_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

METRICS_PER_BATCH = 1000  # MLflow's limit
DECIMALS = 4  # its tables print every digit that there is; metrics.json has the exact values


@contextmanager
def logging_session(scale: str) -> Iterator[Callable[[LoggedRun], bool]]:
    """Opens the store; gives what logs a run there, unless it is logged already.

    Args:
        scale: names the experiment in MLflow.

    Raises:
        StoreFailed: the store cannot be reached.
        Interrupted: SIGTERM came; the run that was being logged is marked as killed.
    """
    store = find_store()
    with told_in_one_line(store), _told_to_end():
        turn = lock(store)
        with turn:
            if not store.exists:
                with new_store(store) as made:
                    yield _opened(made, scale)
                return
            log = _opened(store, scale)

        def log_once(logged: LoggedRun) -> bool:
            # Per variant, so that experiments that run at the same time take turns.
            with turn:
                return log(logged)

        yield log_once


def _opened(store: Store, scale: str) -> Callable[[LoggedRun], bool]:
    client = open_store(store)
    return partial(_log_once, store, client, open_experiment(client, scale, store))


@contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does, by an exception, so that runs can be closed."""

    def end(number: int, _: object) -> None:
        raise Interrupted(number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _log_once(store: Store, client: MlflowClient, place: Experiment, logged: LoggedRun) -> bool:
    """Logs the run unless it is there; replaces what an interrupted process left unfinished."""
    found: list[Run] = []
    experiment = place.number
    state = logged.tags.get("state")
    for identity in logged.identities:
        found = client.search_runs([experiment], f"tags.identity = '{identity}'")
        for run in found:
            if state or (run.info.status in ENDED and has_files(store, run.info.run_id)):
                return False
            if not has_turns(store) and is_being_logged(run):
                return False
    for run in found:
        where = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        _delete(client, client.search_runs([experiment], where))
    _delete(client, found)
    if state:
        _delete(client, client.search_runs([experiment], f"tags.state = '{state}'"))
        run_id = _begin(client, place, logged, {"role": INTERRUPTED})
        client.set_terminated(run_id, "KILLED", end_time=_milliseconds(logged)[1])
        return True
    if not _log_with_children(store, client, place, logged):
        return False
    # It was interrupted once, and is complete now.
    where = f"tags.role = '{INTERRUPTED}' and tags.variant = '{logged.tags['variant']}'"
    _delete(client, client.search_runs([experiment], where))
    return True


def _log_with_children(
    store: Store, client: MlflowClient, place: Experiment, logged: LoggedRun
) -> bool:
    """Logs a variant and its seeds, unless another machine is found to do so at the same time."""
    begun: list[str] = []
    try:
        tags = {"role": "variant"} | logger_tags()
        begun.append(_begin(client, place, logged, tags))
        for child in logged.children if _is_first(store, client, place, logged, begun[0]) else ():
            tags = {"role": "seed", "mlflow.parentRunId": begun[0]}
            begun.append(_begin(client, place, child, tags))
            _end(client, begun[1], child)
            begun.pop()
        if not _is_first(store, client, place, logged, begun[0]):
            where = f"tags.`mlflow.parentRunId` = '{begun[0]}'"
            _delete(client, client.search_runs([place.number], where))
            client.delete_run(begun[0])
            return False
        _end(client, begun[0], logged)  # last: a run that has ended is complete
    except (KeyboardInterrupt, Interrupted):
        for run_id in begun:
            client.set_terminated(run_id, "KILLED")
        raise
    return True


def _is_first(
    store: Store, client: MlflowClient, place: Experiment, logged: LoggedRun, run_id: str
) -> bool:
    """Whether nobody else logs the same run, or this run comes before theirs.

    Behind a server nobody can be kept out, so each begins its run, looks for others and takes back
    its own where one has ended or has a smaller id; asked again before a run is made to end.
    """
    if has_turns(store):
        return True
    where = f"tags.identity = '{logged.tags['identity']}' and tags.role = 'variant'"
    others = [run for run in client.search_runs([place.number], where) if run.info.run_id != run_id]
    return not any(
        run.info.status in ENDED or (is_being_logged(run) and run.info.run_id < run_id)
        for run in others
    )


def _delete(client: MlflowClient, runs: Iterable[Run]) -> None:
    for run in runs:
        client.delete_run(run.info.run_id)


def _begin(client: MlflowClient, place: Experiment, logged: LoggedRun, tags: dict[str, str]) -> str:
    from mlflow.entities import Metric, Param

    start, end = _milliseconds(logged)
    run = client.create_run(place.number, start_time=start, tags=logged.tags | tags)
    run_id: str = run.info.run_id
    points = {(name, 0): value for name, value in logged.metrics.items()} | logged.curves
    metrics = [Metric(n, round(v, DECIMALS), end, step) for (n, step), v in points.items()]
    params = [Param(name, value) for name, value in logged.params.items()]
    client.log_batch(run_id, metrics[:METRICS_PER_BATCH], params)
    for first in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics[first : first + METRICS_PER_BATCH])
    for path, folder in logged.files if place.with_files else ():
        client.log_artifact(run_id, str(path), folder or None)
    return run_id


def _end(client: MlflowClient, run_id: str, logged: LoggedRun) -> None:
    status = "FAILED" if logged.diverged else "FINISHED"
    client.set_terminated(run_id, status, end_time=_milliseconds(logged)[1])


def _milliseconds(logged: LoggedRun) -> tuple[int, int]:
    start, end = logged.times or (time.time(), time.time())
    return int(start * 1000), int(end * 1000)
