"""The store in which MLflow keeps runs: its address, its lock, and what its pages show first.

MLflow itself is not imported here.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from cifar_tricks.files import project_root

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # its errors arrive as exceptions
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down is told in seconds; MLflow would try for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
LOCK_SECONDS = 120  # a first opening takes some 10 s, a variant well under one
BUSY_SECONDS = 10
VIEW_NAME = "study"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_NAME}"
# The run table at first sight: its columns in their order, with their widths in pixels. A column
# that no run has a value for is left out.
_COLUMNS = {
    "attributes.`Run Name`": 330,
    "metrics.`test_accuracy`": 115,
    "metrics.`std/test_accuracy`": 145,
    "metrics.`num_seeds`": 100,
    "metrics.`validation_accuracy`": 150,
    "metrics.`train_accuracy`": 120,
    "metrics.`test_loss`": 90,
    "tags.`diverged`": 90,
    "tags.`dvc.experiment`": 130,
    "duration": 90,
    "runDateAndNestInfo": 150,
}
# In the form in which MLflow's pages save a shared view.
_VIEW = {
    "selectedColumns": [name for name in _COLUMNS if name.startswith(("metrics.", "tags."))],
    "columnOrder": list(_COLUMNS),
    "columnWidths": _COLUMNS,
    "searchFilter": "tags.role != 'seed'",
    "orderByKey": "metrics.`test_accuracy`",
    "orderByAsc": False,
}
_NOTE = """\
One run per variant, with one run per seed beneath it. A variant's figures and curves are means
over its seeds; `std/` holds their standard deviations.

`curves/` are by training step: over training batches, and over the whole validation split. All
other losses and accuracies are of the kept weights, those after `best_step`, over a whole split.
A run with a seed whose loss was not finite has failed, and has no mean. A run that was killed is a
training that was interrupted; it goes when the training is complete."""
EXPERIMENT_TAGS = {
    "mlflow.note.content": _NOTE,
    "mlflow.experimentKind": "custom_model_development",  # else MLflow's pages may guess LLMs
    VIEW_TAG: json.dumps(_VIEW),
}


@dataclass(frozen=True)
class Store:
    """Where runs are logged.

    Args:
        uri: as MLflow takes it.
    """

    uri: str

    @property
    def name(self) -> str:
        """The address as one may print it: without user and password."""
        return without_password(self.uri)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite store, None for any other."""
        prefix = "sqlite:///"
        return Path(self.uri.removeprefix(prefix)) if self.uri.startswith(prefix) else None

    @property
    def served(self) -> bool:
        """Whether a server keeps the runs, and knows where their files go."""
        return self.uri.startswith(("http://", "https://", "databricks"))

    @property
    def exists(self) -> bool:
        """False for an SQLite store that was never opened."""
        return self.file is None or (self.file.exists() and self.file.stat().st_size > 0)

    def lock(self) -> FileLock:
        """Held while opening and writing, so that processes take turns.

        MLflow's first opening fails when several processes do it at once.
        """
        file = self.file or project_root() / "mlflow.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file.with_name(file.name + ".lock"), timeout=LOCK_SECONDS)

    def check(self) -> None:
        """Tells at once that an SQLite file cannot be used; MLflow would try for minutes.

        Raises:
            sqlite3.Error: it is damaged, locked or read-only.
        """
        if self.file is not None:
            connection = sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)
            with closing(connection):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")


def find_store() -> Store:
    """``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` in the main checkout."""
    local = f"sqlite:///{(project_root() / 'mlflow.db').resolve()}"
    return Store(os.environ.get("MLFLOW_TRACKING_URI") or local)


def without_password(text: str) -> str:
    """The text with the user and password of addresses left out."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def experiment_name(scale: str) -> str:
    """How MLflow's pages name the runs of a scale."""
    return f"cifar-tricks/{scale}"
