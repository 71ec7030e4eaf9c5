"""The runs of an MLflow experiment as a table; the only module here that needs MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import choose_from
from cifar_tricks.judge.table import Table, text_table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs that a server is asked for at once


def read_experiment(name: str, uri: str, value: str) -> Table:
    """A row for each finished run, with its parameters, its tags and one metric.

    Runs that others lie below are left out: they sum those up.

    Args:
        name: of the experiment.
        uri: of the store or server; "" for MLFLOW_TRACKING_URI, else ``mlflow.db``.
        value: the metric.

    Raises:
        UserError: MLflow is not installed, the store cannot be read, or has no such thing.
    """
    if find_spec("mlflow") is None or find_spec("filelock") is None:
        raise UserError("--mlflow needs MLflow: pip install 'cifar-tricks[study]'")
    from cifar_tricks.tracking.mlflow_store import told_in_one_line
    from cifar_tricks.tracking.store import VARIABLE, find_store

    if uri:
        os.environ[VARIABLE] = uri
    store = find_store()
    if not store.exists:
        raise UserError(f"MLflow at {store.name}: there is no store; --tracking-uri names one")
    with told_in_one_line(store, then=""):
        from mlflow import MlflowClient

        store.reach()
        runs = [*_runs(MlflowClient(tracking_uri=store.uri, registry_uri=store.uri), name)]
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    runs = [run for run in runs if run.info.run_id not in parents]
    runs = [run for run in runs if run.info.status == "FINISHED"]
    if not runs:
        raise UserError(f"--mlflow {name}: the experiment has no finished run")
    metrics = dict.fromkeys(key for run in runs for key in run.data.metrics)
    if value not in metrics:
        given = f"--value {value}: no such metric" if value else "--value names a metric"
        raise UserError(f"{given}; {choose_from(value, metrics)}")
    return _table(f"MLflow's {name}", runs, value)


def _runs(client: MlflowClient, name: str) -> Iterator[Run]:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        names = [one.name for one in client.search_experiments()]
        raise UserError(f"--mlflow {name}: no such experiment; {choose_from(name, names)}")
    token: str | None = ""
    while token is not None:
        found = client.search_runs(
            [experiment.experiment_id],
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token or None,
        )
        yield from found
        token = found.token or None


def _table(name: str, runs: list[Run], value: str) -> Table:
    cells = []
    for run in runs:
        # MLflow's own tags say who ran it and how; a parameter says more than a tag of its name.
        tags = {k: text for k, text in run.data.tags.items() if not k.startswith("mlflow.")}
        texts = tags | run.data.params
        metric = run.data.metrics.get(value)
        cells.append(texts | {value: "" if metric is None else repr(float(metric))})
    headers = dict.fromkeys(header for row in cells for header in row)
    columns = {header: [row.get(header, "") for row in cells] for header in headers}
    return text_table(name, [f"run {run.info.run_id[:8]}" for run in runs], columns)
