"""The only module that reads the test images: it scores trained nets on them, once.

Nothing computed here flows back into a training; the early stopping and the kept weights were
decided on validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored
from cifar_tricks.base.resources import cores
from cifar_tricks.base.signed_json import finite
from cifar_tricks.evaluation.score import Score, calibrate, from_answers
from cifar_tricks.evaluation.test_images import read_test_images
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants, trainable_variants
from cifar_tricks.runs.checks import check_dataset, check_run
from cifar_tricks.runs.folders import (
    WEIGHTS,
    read_answers,
    read_run,
    record_file,
    run_folder,
    seed_folder,
)
from cifar_tricks.runs.run import Run
from cifar_tricks.training.device import choose_device, prepare
from cifar_tricks.training.images import Images
from cifar_tricks.training.nets import load_weights
from cifar_tricks.training.normalisation import Normalisation
from cifar_tricks.training.predicting import loss_and_accuracy, predict


def score_variants(params: Params, keys: Sequence[str]) -> tuple[dict[str, Run], list[Score]]:
    """Scores every seed of the variants.

    Args:
        params: the checked parameters.
        keys: which variants.

    Returns:
        The runs by key, and the scores in the order of keys and seeds.

    Raises:
        UserError: no keys, other images than the scale's, or a run is missing, damaged, or was
            trained from other parameters.
    """
    if not keys:
        raise UserError(f"runs/{params.scale} holds no trained net: dvc repro trains them")
    check_dataset(params)
    known = planned_variants(params)
    runs = {key: _matching_run(params, known[key]) for key in keys}
    device = _prepared_device(params)
    test = read_test_images(params.scales[params.scale].test_images, device)
    jobs = [(known[key], run, seed) for key, run in runs.items() for seed in run.seeds]
    workers = 1 if device.type == "cuda" else max(1, int(cores()))
    with ThreadPoolExecutor(workers) as pool:
        # The longest first: at the end all cores stop at about the same time.
        order = sorted(jobs, key=lambda job: job[0].backbone is None)
        scores = list(pool.map(lambda job: _score(*job, test=test), order))
    return runs, sorted(scores, key=lambda score: list(runs).index(score.key))


def _prepared_device(params: Params) -> torch.device:
    device, precision = choose_device(params.device), params.scales[params.scale].precision
    if precision == "tf32" and device.type != "cuda":
        precision = "fp32"  # what a CPU has in its place, for nets of another machine
    # One thread for each net and several nets at once: the results do not depend on how many.
    prepare(device, threads=1, precision=precision)
    return device


def trained_keys(params: Params) -> list[str]:
    """The variants that can be trained here, and were."""
    folders = {key: run_folder(params.scale, key) for key in trainable_variants(params)}
    return [key for key, folder in folders.items() if (folder / "run.json").exists()]


def _matching_run(params: Params, variant: Variant) -> Run:
    run = read_run(params.scale, variant.key)
    check_run(run, variant, params.seeds)
    return run


def _score(variant: Variant, run: Run, seed: int, *, test: Images) -> Score:
    folder = seed_folder(run.scale, run.key, seed)
    if run.seeds[seed].origin.recorded:
        return _recorded(variant, run, seed, labels=test.labels.cpu().numpy())
    return score_seed(variant, run, seed, folder, test=test)


def _recorded(variant: Variant, run: Run, seed: int, *, labels: np.ndarray) -> Score:
    """The score of a seed that was trained elsewhere."""
    answers = read_answers(run, seed)
    try:
        return from_answers(
            answers,
            key=run.key,
            seed=seed,
            labels=labels,
            num_classes=variant.recipe.net.num_classes,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        path = record_file(run.scale, run.key, seed)
        raise UserError(
            f"{path} contradicts the test images: {error}; to train the seed here: "
            f"rm {path} && dvc repro --force --single-item {variant.stage}"
        ) from error


def score_seed(variant: Variant, run: Run, seed: int, folder: Path, *, test: Images) -> Score:
    """Asks a net all test images.

    Args:
        variant: what was trained.
        run: how it ended.
        seed: which one.
        folder: where its weights lie.
        test: the images.

    Raises:
        UserError: the weights are missing or damaged.
    """
    path = folder / WEIGHTS
    weights = read_arrays(path)
    if weights.sha256 != run.seeds[seed].weights_sha256:
        raise UserError(f"{path} is not the file that {run.key} wrote; {restored(path)}")
    device = test.labels.device
    tensors = {name: torch.from_numpy(array) for name, array in weights.arrays.items()}
    net = load_weights(variant.recipe.net, tensors, device)
    result = run.seeds[seed]
    normaliser = Normalisation(mean=result.mean, std=result.std).to(device)
    ask = partial(predict, net, test, normaliser, precision=variant.recipe.precision)
    logits = ask()
    loss, accuracy = loss_and_accuracy(logits, test.labels).tolist()
    probabilities = torch.softmax(logits.double(), 1).cpu().numpy()
    return Score(
        key=run.key,
        seed=seed,
        accuracy=accuracy,
        loss=finite(loss),
        calibration=calibrate(probabilities, test.labels.cpu().numpy()),
        predictions=_classes(logits),
        num_classes=logits.shape[1],
        **_augmented(variant, ask, test),
    )


def _augmented(variant: Variant, ask: Callable[..., Tensor], test: Images) -> dict[str, Any]:
    """What the views of its recipe say, if it has any; beside the plain answers, never in their
    place."""
    if (views := variant.recipe.views) is None:
        return {}
    logits = ask(views=views)
    accuracy = loss_and_accuracy(logits, test.labels)[1].item()
    return {"augmented": _classes(logits), "augmented_accuracy": accuracy}


def _classes(logits: Tensor) -> np.ndarray:
    classes: np.ndarray = logits.argmax(1).cpu().numpy().astype(np.uint16)
    return classes
