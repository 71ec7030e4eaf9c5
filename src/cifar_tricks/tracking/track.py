"""MLflow, where runs are compared.

It is a sink. Results are read from the files that the stages wrote, never from here; what is looked
up here is only whether a run was logged already, and its id for a link.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.parameters.schema import Params
from cifar_tricks.tracking.client import logging_session
from cifar_tricks.tracking.interrupted import interrupted
from cifar_tricks.tracking.logged_run import make_logged_run
from cifar_tricks.tracking.mlflow_store import StoreFailed, open_store, told_in_one_line
from cifar_tricks.tracking.run_table import experiment_name
from cifar_tricks.tracking.sharing import lock
from cifar_tricks.tracking.store import find_store
from cifar_tricks.tracking.store_file import logged_identities
from cifar_tricks.tracking.unsent import keep, waiting


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


def track(
    params: Params,
    keys: Sequence[str],
    metrics: dict[str, Any],
    *,
    folder: Path,
    study: bool = False,
) -> Tracked:
    """Logs variants that are not logged yet: one run each, and beneath it one per seed.

    With them goes what earlier calls kept because the store was out of reach, and each training
    that was interrupted, as a run that was killed.

    Args:
        params: the checked parameters; their scale names the experiment in MLflow.
        keys: which variants.
        metrics: the content of ``metrics.json``.
        folder: of the report, with its ``figures/``.
        study: whether an equal result of the study makes that of an experiment needless.

    Raises:
        UserError: a file of a run is missing or damaged, or there can be no such store.
        StoreFailed: the store cannot be reached.
        Interrupted: SIGTERM came; the run that was being logged is marked as killed.
    """
    scale, store = params.scale, find_store()
    runs = [make_logged_run(scale, key, metrics, folder=folder, study=study) for key in keys]
    known = logged_identities(store, scale)
    missing = [logged for logged in runs if known.isdisjoint(logged.identities)]
    kept, new = list(waiting(scale)), 0
    if missing or kept:
        with logging_session(scale) as log_once:
            new = sum(log_once(logged) for logged in missing)
            for path, logged in kept:
                log_once(logged)
                shutil.rmtree(path)
    track_interrupted(scale)
    return Tracked(new=new, total=len(runs), store=store.name)


def track_or_keep(
    params: Params, keys: Sequence[str], metrics: dict[str, Any], *, folder: Path
) -> None:
    """Like :func:`track`; where the store fails, that is told and the next call logs it.

    Args:
        params: see there.
        keys: likewise.
        metrics: likewise.
        folder: likewise.

    Raises:
        UserError: a file of a run is missing or damaged, or ``logs`` cannot be written.
    """
    try:
        track(params, keys, metrics, folder=folder)
    except StoreFailed as error:
        for key in keys:
            keep(params.scale, make_logged_run(params.scale, key, metrics, folder=folder))
        print(f"warning: {error}", file=sys.stderr, flush=True)


def track_interrupted(scale: str) -> None:
    """Logs the trainings that were begun and not ended; a later state replaces an earlier one.

    Raises:
        StoreFailed: the store cannot be reached.
    """
    known = logged_identities(find_store(), scale)
    runs = [logged for logged in interrupted(scale) if known.isdisjoint(logged.identities)]
    if not runs:
        return
    with logging_session(scale) as log_once:
        for logged in runs:
            log_once(logged)


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
    with told_in_one_line(store), lock(store):
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
