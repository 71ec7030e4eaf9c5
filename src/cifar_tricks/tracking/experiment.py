"""MLflow's experiment of a scale, and where the files of its runs go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from cifar_tricks.tracking.mlflow_store import StoreFailed
from cifar_tricks.tracking.run_table import EXPERIMENT_TAGS, VIEW_TAG, experiment_name
from cifar_tricks.tracking.sharing import is_elsewhere
from cifar_tricks.tracking.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Experiment(NamedTuple):
    """Where runs go.

    Args:
        number: MLflow's id of the experiment.
        with_files: whether files can be kept with them from here.
    """

    number: str
    with_files: bool


def open_experiment(client: MlflowClient, scale: str, store: Store) -> Experiment:
    """The experiment of a scale, which is made where it is not there; call it under the lock.

    Raises:
        StoreFailed: its files go to the folder of another project.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment_name(scale))
    here = store.artifacts.as_uri() if store.artifacts else None
    if found is not None:
        place = found.artifact_location
        if store.file and place != here and place.startswith(("file:", "/")):
            raise StoreFailed(
                f"MLflow at {store.name}: the files of {found.name} go to {place}, not to this "
                "project; an `mlflow server` on the database keeps them for several projects"
            )
        if elsewhere := is_elsewhere(place) and not store.file:
            _tell(store, f"{place}, which this machine does not have: none are logged from here")
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if found.tags.get(VIEW_TAG) != EXPERIMENT_TAGS[VIEW_TAG]:
            client.set_experiment_tag(found.experiment_id, VIEW_TAG, EXPERIMENT_TAGS[VIEW_TAG])
        return Experiment(found.experiment_id, with_files=not elsewhere)
    if store.artifacts and not store.file:
        store.artifacts.mkdir(parents=True, exist_ok=True)
        _tell(store, f"{here}: machines without this folder log none")
    # Without a location MLflow would use the current folder.
    try:
        made = client.create_experiment(experiment_name(scale), here, EXPERIMENT_TAGS)
    except MlflowException:  # behind a server another machine may just have made it
        again = client.get_experiment_by_name(experiment_name(scale))
        if again is None:
            raise
        made = again.experiment_id
    return Experiment(made, with_files=True)


def _tell(store: Store, what: str) -> None:
    remedy = "an `mlflow server` on the database keeps them for all"
    print(f"note: MLflow at {store.name}: files of runs go to {what}; {remedy}", file=sys.stderr)
