"""The study's best net in MLflow's model registry, under the alias ``champion``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.evaluation import CARD, DESCRIPTION
from cifar_tricks.parameters.schema import Params
from cifar_tricks.tracking.logged_run import make_logged_run
from cifar_tricks.tracking.mlflow_store import StoreFailed, open_store, told_in_one_line
from cifar_tricks.tracking.run_table import experiment_name
from cifar_tricks.tracking.sharing import is_elsewhere, lock
from cifar_tricks.tracking.store import Store, find_store
from cifar_tricks.tracking.store_file import has_files, registered_version
from cifar_tricks.tracking.track import Tracked, track

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "champion"
# What the loaded model imports, beside the package itself, which is logged with it.
REQUIREMENTS = ("mlflow", "numpy", "safetensors", "torch", "filelock")


def registered_name(scale: str) -> str:
    """How the registry names the best net of a scale."""
    return f"cifar-tricks-{scale}"


def register(scale: str, folder: Path) -> str:
    """Makes the champion a version of the registered model, unless its weights are one already.

    Args:
        scale: a key of ``scales``.
        folder: ``reports/<scale>``, with ``champion`` and ``examples.safetensors``.

    Returns:
        The version that the alias names now; "" where there is no champion, or an imported net.

    Raises:
        UserError: its files are missing, it was not logged, or the store cannot be reached.
    """
    path = folder / ALIAS / DESCRIPTION
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: dvc repro champion writes it") from error
    if about["key"] is None:
        return ""
    if target := about["net"].get("target"):
        print(f"the champion is not registered: MLflow does not carry the code of {target}")
        return ""
    store, name, sha256 = find_store(), registered_name(scale), about["weights_sha256"]
    in_experiment = "DVC_EXP_NAME" in os.environ
    known = registered_version(store, name, ALIAS, sha256)
    if known is not None and (known[1] or in_experiment):
        return known[0]
    with told_in_one_line(store), lock(store):
        client = open_store(store)
        found = _find(store, client, name, sha256)
        if found is None:
            run = _run_of(client, scale, about)
            place = Path(client.get_run(run).info.artifact_uri).parents[1]
            if store.file is None and is_elsewhere(str(place)):
                return ""  # its files cannot be kept from here, which has been told
            source = _log_model(client, run, folder, about)
            found = _create(client, name, source, run, about, folder)
        # An experiment registers its net, but the champion is the study's.
        if not in_experiment or not _has_champion(client, name):
            client.set_registered_model_alias(name, ALIAS, found)
    return found


def catch_up(params: Params) -> Tracked:
    """Logs what was scored and lies here of the chosen scale, and registers its best net.

    Raises:
        StoreFailed: the store cannot be reached.
    """
    folder, present = Path("reports") / params.scale, []
    try:
        metrics = json.loads((folder / "metrics.json").read_bytes())
        for key in metrics["variants"]:
            with suppress(UserError):  # not trained here, or anew since
                make_logged_run(params.scale, key, metrics, folder=folder)
                present.append(key)
    except (OSError, ValueError, KeyError, TypeError):
        metrics = {}
    if not present:
        return Tracked(new=0, total=0, store=find_store().name)
    done = track(params, present, metrics, folder=folder, study=True)
    try:
        register(params.scale, folder)
    except StoreFailed:
        raise
    except UserError as error:
        print(f"note: {error}", file=sys.stderr)
    return done


def _run_of(client: MlflowClient, scale: str, about: dict[str, Any]) -> str:
    """The logged run of the seed that trained these weights."""
    experiment = client.get_experiment_by_name(experiment_name(scale))
    where = f"tags.role = 'seed' and tags.weights_sha256 = '{about['weights_sha256']}'"
    found = (
        client.search_runs([experiment.experiment_id], where, max_results=1) if experiment else []
    )
    if not found:
        raise UserError(f"{about['key']} is not logged in MLflow: dvc repro --single-item track")
    return str(found[0].info.run_id)


def _has_champion(client: MlflowClient, name: str) -> bool:
    return ALIAS in client.get_registered_model(name).aliases


def _find(store: Store, client: MlflowClient, name: str, sha256: str) -> str | None:
    """The version that holds these weights, and whose files are there."""
    for known in client.search_model_versions(f"name = '{name}'"):
        run = str(known.run_id)
        if known.tags.get("weights_sha256") == sha256 and has_files(store, run, "model"):
            return str(known.version)
    return None


def _log_model(client: MlflowClient, run: str, folder: Path, about: dict[str, Any]) -> str:
    """Keeps the model with its run; returns its address."""
    import mlflow

    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "model"
        mlflow.pyfunc.save_model(
            str(target),
            python_model=str(Path(__file__).with_name("serving.py")),
            artifacts={"champion": (folder / ALIAS).resolve().as_uri()},
            code_paths=[str(Path(__file__).parents[1])],
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            signature=_signature(about),
            input_example=_example(folder),
        )
        client.log_artifacts(run, str(target), "model")
    return f"runs:/{run}/model"


def _signature(about: dict[str, Any]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # A description has the size only where it is not CIFAR-10's.
    size = about["net"].get("image_size", 32)
    images = TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, len(about["classes"])))
    return ModelSignature(inputs=Schema([images]), outputs=Schema([probabilities]))


def _example(folder: Path) -> np.ndarray:
    """A test image, uint8 (1, H, W, 3)."""
    examples = read_arrays(folder / "examples.safetensors")
    return np.ascontiguousarray(examples["images"][:1].transpose(0, 2, 3, 1))


def _create(
    client: MlflowClient, name: str, source: str, run: str, about: dict[str, Any], folder: Path
) -> str:
    from mlflow.exceptions import MlflowException

    card = (folder / ALIAS / CARD).read_text(encoding="utf-8")
    try:
        client.get_registered_model(name)
    except MlflowException:
        with suppress(MlflowException):  # another machine has just done it
            client.create_registered_model(
                name, description="The best small net of the study, chosen by validation accuracy."
            )
    shown = ("key", "seed", "test_accuracy", "validation_accuracy", "weights_sha256")
    created = client.create_model_version(
        name,
        source,
        run_id=run,
        tags={field: str(about[field]) for field in shown},
        description=card,
    )
    return str(created.version)


def champion_uri(scale: str) -> str:
    """What ``mlflow.pyfunc.load_model`` takes, with MLFLOW_TRACKING_URI set to the store."""
    return f"models:/{registered_name(scale)}@{ALIAS}"
