"""Training a variant: every seed, each resumable, then its folder in one go."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cifar_tricks.arrays import read_arrays, write_arrays
from cifar_tricks.backbones import used_backbone, weights_file
from cifar_tricks.checkpoint import AlreadyRunning, Checkpoint, sole_writer
from cifar_tricks.console import TrainingDisplay
from cifar_tricks.data import COPIES_FILE, TRAIN_FILE, make_training_data
from cifar_tricks.errors import Interrupted, UserError
from cifar_tricks.files import project_root, write_atomically
from cifar_tricks.machine import choose_device, device_name, prepare
from cifar_tricks.models import build_net, num_parameters
from cifar_tricks.params import Variant, variants
from cifar_tricks.recipe import BackboneSpec
from cifar_tricks.resume import Training, code_hash
from cifar_tricks.runs import Run, SeedResult, finite, run_folder, to_json, write_history, write_run
from cifar_tricks.schema import Params, choose_from
from cifar_tricks.training import Fitted, fit

SMALL_FILES_BYTES = 10_000_000


def train_variant(params: Params, key: str) -> None:
    """Trains all seeds of a variant and writes ``runs/<scale>/<key>``.

    A seed that an interrupted call finished is not trained again, one that it began goes on where
    it was.

    Args:
        params: the checked parameters.
        key: of :func:`cifar_tricks.params.variants`, or ``transfer`` for the backbone that could
            be had.

    Raises:
        UserError: no such variant, no backbone, missing or damaged data, no such device, or another
            process is training the same.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    variant = _find_variant(params, key)
    device = choose_device(params.device)
    prepare(device, threads=variant.recipe.threads)
    arrays = read_arrays(TRAIN_FILE)
    copies = read_arrays(COPIES_FILE) if variant.recipe.copies else None
    backbone = None
    if isinstance(spec := variant.recipe.net, BackboneSpec):
        restore = f"dvc checkout --force {weights_file(spec.backbone).parent}"
        backbone = read_arrays(weights_file(spec.backbone), restore=restore)
    code = code_hash(variant.recipe)
    trainings = [
        Training(
            scale=params.scale,
            variant=variant,
            seed=seed,
            device=device,
            arrays=arrays,
            copies=copies,
            backbone=backbone,
            code=code,
        )
        for seed in params.seeds
    ]
    _check_room(trainings)
    # Every folder stays claimed until the results are where they belong.
    with _stop_request() as stop_requested, ExitStack() as claims:
        folders = []
        for training in trainings:
            folders.append(claims.enter_context(_claim(training)))
            _train_seed(training, folders[-1], stop_requested)
        _publish(trainings, folders)


def _find_variant(params: Params, key: str) -> Variant:
    if key != "transfer":
        known = variants(params)
        if key not in known:
            raise UserError(f"{key}: no variant has this key; {choose_from(key, known)}")
        return known[key]
    backbone = used_backbone()
    if backbone is None:
        wanted = ", ".join(params.transfer.backbones)
        raise UserError(
            f"transfer.backbones = {wanted}: no source delivered these weights; try again with "
            "dvc repro --force download, or name another backbone; all else: make repro"
        )
    return variants(params, backbone=backbone)[f"transfer-{backbone}"]


def _check_room(trainings: list[Training]) -> None:
    """Refuses to start where the disk cannot hold what will be written."""
    net = build_net(trainings[0].variant.recipe.net, seed=0, device=torch.device("cpu"))
    values = sum(value.numel() for value in net.state_dict().values())
    # State: weights, best weights, two moments of Adam; it is replaced by a second copy. Then the
    # kept weights of every seed, twice until the variant is complete, and as much in DVC's cache.
    copies = 2 * 4 + 3 * len(trainings)
    needed = 4 * values * copies + SMALL_FILES_BYTES
    free = shutil.disk_usage(project_root()).free
    if free < needed:
        raise UserError(
            f"{project_root().resolve()} has {free / 1e6:.0f} MB free; this variant needs "
            f"{needed / 1e6:.0f} MB"
        )


@contextmanager
def _claim(training: Training) -> Iterator[Path]:
    """The folder for the training's state, which no other process uses meanwhile."""
    name = training.folder_name()
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(sole_writer(project_root() / "resume" / name))
        except AlreadyRunning as running:
            if running.checkout == str(Path.cwd()):
                raise
            # Two queued experiments may need the same run at once: this copy trains its own.
            folder = stack.enter_context(sole_writer(Path("resume") / name))
        yield folder


def _train_seed(training: Training, folder: Path, stop_requested: Callable[[], bool]) -> None:
    if (folder / "result.json").exists():
        print(f"{folder.name}: already trained, kept", flush=True)
        return
    variant, recipe = training.variant, training.variant.recipe
    data = make_training_data(
        training.arrays,
        training.copies,
        recipe,
        seed=training.seed,
        device=training.device,
        backbone=training.backbone.arrays if training.backbone else None,
    )
    display = TrainingDisplay(
        f"{variant.key} seed {training.seed}",
        total_steps=recipe.num_epochs * recipe.steps_per_epoch,
        batch_size=recipe.batch_size,
    )
    started = time.time()
    fitted = fit(
        recipe,
        data,
        seed=training.seed,
        device=training.device,
        checkpoint=Checkpoint(path=folder / "state.pt"),
        on_prepare=display.prepare,
        on_step=display,
        should_stop=stop_requested,
    )
    display.close()
    sha256 = write_arrays(
        folder / "model.safetensors", {n: w.numpy() for n, w in fitted.weights.items()}
    )
    write_history(folder / "history.csv", (asdict(row) for row in fitted.progress.history))
    _log(training, fitted, seconds=time.time() - started)
    result = _seed_result(fitted, data.normalisation.mean, data.normalisation.std, sha256)
    # Last: its presence says that the seed is done.
    write_atomically(folder / "result.json", to_json(asdict(result)))


def _seed_result(fitted: Fitted, mean: Any, std: Any, sha256: str) -> SeedResult:
    progress = fitted.progress
    status = "stopped early" if progress.stopped else "finished"
    return SeedResult(
        status="diverged" if progress.diverged else status,
        steps=progress.step,
        best_step=progress.best_step,
        train_loss=finite(fitted.train[0]),
        train_accuracy=fitted.train[1],
        validation_loss=finite(fitted.validation[0]),
        validation_accuracy=fitted.validation[1],
        mean=mean,
        std=std,
        weights_sha256=sha256,
    )


def _publish(trainings: list[Training], folders: list[Path]) -> None:
    """Writes the variant's folder from its finished seeds, then forgets their states."""
    first = trainings[0]
    variant, recipe = first.variant, first.variant.recipe
    target = run_folder(first.scale, variant.key)
    shutil.rmtree(target, ignore_errors=True)
    seeds = {}
    for training, folder in zip(trainings, folders, strict=True):
        seed_target = target / f"seed={training.seed}"
        seed_target.mkdir(parents=True)
        for name in ("model.safetensors", "history.csv"):
            shutil.copyfile(folder / name, seed_target / name)
        seeds[training.seed] = SeedResult(**json.loads((folder / "result.json").read_bytes()))
    run = Run(
        scale=first.scale,
        key=variant.key,
        group=variant.group,
        model=variant.model,
        trick=variant.trick,
        tricks=variant.tricks,
        recipe=asdict(recipe),
        num_parameters=num_parameters(build_net(recipe.net, seed=0, device=torch.device("cpu"))),
        steps_per_epoch=recipe.steps_per_epoch,
        device=first.device.type,
        torch=torch.__version__,
        data=first.data_hashes(),
        seeds=seeds,
    )
    write_run(run, target)
    for folder in folders:
        shutil.rmtree(folder)


def _log(training: Training, fitted: Fitted, *, seconds: float) -> None:
    """Notes what differs from one run to the next, for MLflow: never part of a DVC output."""
    path = project_root() / "logs" / training.scale / training.variant.key
    log = {
        "device_name": device_name(training.device),
        "images_per_second": fitted.images_per_second,
        "seconds": seconds,
    }
    write_atomically(path / f"seed={training.seed}.json", to_json(log))


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT and SIGTERM into a flag that the training asks for after each step."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda received_number, _: received.append(received_number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(received)
    except Interrupted as error:
        raise Interrupted(*received) from error
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
