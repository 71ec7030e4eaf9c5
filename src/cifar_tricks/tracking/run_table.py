"""What MLflow's pages show of the study first: the name of its runs, a note, and their table."""

from __future__ import annotations

import json

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


def experiment_name(scale: str) -> str:
    """How MLflow's pages name the runs of a scale."""
    return f"cifar-tricks/{scale}"
