"""The only module that reads the test images: it scores trained nets on them, once.

Nothing computed here flows back into a training; the early stopping and the kept weights were
decided on validation images.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_tricks.arrays import Arrays, read_arrays, write_arrays
from cifar_tricks.backbones import used_backbone
from cifar_tricks.data import Images, Normalisation
from cifar_tricks.errors import UserError
from cifar_tricks.evaluation import loss_and_accuracy, predict
from cifar_tricks.files import write_atomically
from cifar_tricks.machine import choose_device, prepare
from cifar_tricks.models import load_weights
from cifar_tricks.original import original_result
from cifar_tricks.params import Variant, variants
from cifar_tricks.runs import Run, finite, read_run, seed_folder, to_json
from cifar_tricks.schema import Params

TEST_FILE = "data/cifar10/test.safetensors"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One trained net on all test images.

    Args:
        key: of the variant.
        seed: of the run.
        accuracy: in [0, 1].
        loss: cross-entropy in nats, None if not finite.
        predictions: class of every test image in the official order, uint8 (N,).
    """

    key: str
    seed: int
    accuracy: float
    loss: float | None
    predictions: np.ndarray


def score_variants(params: Params, keys: Sequence[str]) -> tuple[dict[str, Run], list[Score]]:
    """Scores every seed of the variants.

    Args:
        params: the checked parameters.
        keys: which variants.

    Returns:
        The runs by key, and the scores in the order of keys and seeds.

    Raises:
        UserError: a run is missing, damaged, or was trained from other parameters than these.
    """
    known = variants(params, backbone=used_backbone())
    runs = {key: _matching_run(params, known[key]) for key in keys}
    device = choose_device(params.device)
    # One thread for each net and several nets at once: the results do not depend on how many.
    prepare(device, threads=1)
    arrays = _test_arrays(params)
    rows = torch.arange(len(arrays["labels"]))
    test = Images.from_arrays(arrays, rows, device)
    jobs = [(known[key], run, seed) for key, run in runs.items() for seed in run.seeds]
    workers = 1 if device.type == "cuda" else len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as pool:
        # The longest first: at the end all cores stop at about the same time.
        order = sorted(jobs, key=lambda job: job[0].group != "transfer")
        scores = list(pool.map(lambda job: _score(*job, test=test), order))
    return runs, sorted(scores, key=lambda score: list(runs).index(score.key))


def trained_keys(params: Params) -> list[str]:
    """All variants but the transfer net where no backbone could be had: it counts as missing."""
    backbone = used_backbone()
    known = variants(params, backbone=backbone)
    return [key for key, variant in known.items() if backbone or variant.group != "transfer"]


def _test_arrays(params: Params) -> Arrays:
    """The first ``test_images`` of the test file."""
    arrays, count = read_arrays(TEST_FILE), params.scales[params.scale].test_images
    first = {name: array[:count] for name, array in arrays.arrays.items()}
    return Arrays(arrays=first, sha256=arrays.sha256)


def _matching_run(params: Params, variant: Variant) -> Run:
    run = read_run(params.scale, variant.key)
    # Through JSON, so that tuples and lists compare equal.
    same = to_json(asdict(variant.recipe)) == to_json(run.recipe)
    if not same or tuple(run.seeds) != params.seeds:
        raise UserError(
            f"runs/{params.scale}/{variant.key} was trained from other parameters than params.yaml "
            "holds now: dvc repro trains it anew"
        )
    return run


def _score(variant: Variant, run: Run, seed: int, *, test: Images) -> Score:
    path = seed_folder(run.scale, run.key, seed) / "model.safetensors"
    weights = read_arrays(path)
    if weights.sha256 != run.seeds[seed].weights_sha256:
        raise UserError(f"{path} is not the file that {run.key} wrote: dvc checkout --force {path}")
    device = test.labels.device
    tensors = {name: torch.from_numpy(array) for name, array in weights.arrays.items()}
    net = load_weights(variant.recipe.net, tensors, device)
    result = run.seeds[seed]
    normaliser = Normalisation(mean=result.mean, std=result.std).to(device)
    logits = predict(net, test, normaliser, precision=variant.recipe.precision)
    loss, accuracy = loss_and_accuracy(logits, test.labels)
    predictions = logits.argmax(1).to(torch.uint8).cpu().numpy()
    return Score(
        key=run.key, seed=seed, accuracy=accuracy, loss=finite(loss), predictions=predictions
    )


def metrics(params: Params, runs: dict[str, Run], scores: Iterable[Score]) -> dict[str, Any]:
    """The content of ``metrics.json``: every variant with the values of all its seeds."""
    by_key: dict[str, list[Score]] = {key: [] for key in runs}
    for score in scores:
        by_key[score.key].append(score)
    return {
        "scale": params.scale,
        "variants": {key: _variant_metrics(runs[key], by_key[key]) for key in runs},
    }


def _variant_metrics(run: Run, scores: list[Score]) -> dict[str, Any]:
    original = original_result(run.key)
    results = [run.seeds[score.seed] for score in scores]
    hole = any(result.status == "diverged" for result in results)
    columns: dict[str, Iterable[float | None]] = {
        "test_accuracy": (score.accuracy for score in scores),
        "test_loss": (score.loss for score in scores),
        "validation_accuracy": (result.validation_accuracy for result in results),
        "validation_loss": (result.validation_loss for result in results),
        "train_accuracy": (result.train_accuracy for result in results),
        "train_loss": (result.train_loss for result in results),
    }
    return {
        "group": run.group,
        "model": run.model,
        "trick": run.trick,
        "seeds": [score.seed for score in scores],
        "status": [result.status for result in results],
        **{name: _values(values, hole=hole) for name, values in columns.items()},
        "num_parameters": run.num_parameters,
        "reference": original and {"test_accuracy": original["test_accuracy"]},
    }


def summary(run: Run, scores: list[Score]) -> dict[str, Any]:
    """The few figures of one variant that `dvc exp show` lists: means over its seeds."""
    figures = _variant_metrics(run, scores)
    names = ("test_accuracy", "validation_accuracy", "train_accuracy", "test_loss")
    means = {name: figures[name]["mean"] for name in names}
    return {**means, "num_parameters": run.num_parameters, "num_seeds": len(scores)}


def _values(numbers: Iterable[float | None], *, hole: bool = False) -> dict[str, Any]:
    """All values and their mean; no mean over a hole (a diverged run or a missing value)."""
    values = list(numbers)
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if len(known) == len(values) and not hole else None
    return {"values": values, "mean": mean}


def write_predictions(path: Path, labels: np.ndarray, scores: Iterable[Score]) -> None:
    """Writes ``predictions.csv.gz``: a row per test image in the official order.

    Columns: ``image`` (its number), ``label``, then ``<key>/seed=<n>`` for every net: classes in
    [0, 10).
    """
    columns = {"image": np.arange(len(labels)), "label": labels}
    columns |= {f"{score.key}/seed={score.seed}": score.predictions for score in scores}
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    np.savetxt(text, np.stack([c.astype(np.int64) for c in columns.values()], 1), "%d", ",")
    # No time stamp in the gzip header: the same predictions give the same bytes.
    write_atomically(path, gzip.compress(text.getvalue().encode(), mtime=0))


def test_labels(params: Params) -> np.ndarray:
    """Labels int64 (N,) of the test images that are used, in the official order."""
    return _test_arrays(params)["labels"]


def write_examples(path: Path, params: Params, score: Score, *, count: int = 4) -> None:
    """Writes the first test images that a net got right and wrong, to show what it looked at.

    Args:
        path: of a safetensors file with ``images`` uint8 (N, 3, 32, 32), ``labels``, ``predicted``
            and ``index`` int64 (N,), the place in the test file; the right ones first.
        params: the checked parameters.
        score: of the net.
        count: how many right and how many wrong images, where there are so many.
    """
    test = _test_arrays(params)
    right = score.predictions == test["labels"]
    index = np.concatenate([np.flatnonzero(right)[:count], np.flatnonzero(~right)[:count]])
    write_arrays(
        path,
        {
            "images": test["images"][index],
            "labels": test["labels"][index],
            "predicted": score.predictions[index].astype(np.int64),
            "index": index.astype(np.int64),
        },
    )
