"""From finished trainings to the folder of their variant."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from cifar_tricks.base.files import project_root, write_atomically
from cifar_tricks.base.signed_json import finite, to_json
from cifar_tricks.parameters.variants import Variant
from cifar_tricks.runs.folders import ANSWERS, HISTORY, LEFT_OUT, WEIGHTS, write_run
from cifar_tricks.runs.plan import Training
from cifar_tricks.runs.run import Origin, Run, SeedResult
from cifar_tricks.runs.seed import RESULT, STATE, Seed
from cifar_tricks.training.call import as_json
from cifar_tricks.training.device import device_name
from cifar_tricks.training.loop import ENGINE, Fitted
from cifar_tricks.training.nets import build_net, num_parameters
from cifar_tricks.training.normalisation import Normalisation


def seed_result(
    training: Training,
    fitted: Fitted,
    normalisation: Normalisation,
    *,
    weights_sha256: str,
    history_sha256: str,
) -> SeedResult:
    """How a training ended.

    Args:
        training: what was trained.
        fitted: what came of it.
        normalisation: of its images.
        weights_sha256: content hash of the written weights.
        history_sha256: of the written learning curves.
    """
    progress = fitted.progress
    status = "stopped early" if progress.stopped else "finished"
    return SeedResult(
        status="diverged" if progress.diverged else status,
        steps=progress.step,
        best_step=progress.best_step,
        train_loss=finite(fitted.train[0]),
        train_accuracy=fitted.train[1],
        validation_loss=finite(fitted.validation[0]),
        validation_accuracy=finite(fitted.validation[1]),
        mean=normalisation.mean,
        std=normalisation.std,
        weights_sha256=weights_sha256,
        history_sha256=history_sha256,
        origin=Origin(
            device=training.device.type,
            device_name=device_name(training.device),
            torch=torch.__version__,
            engine=ENGINE,
            code=training.code,
        ),
    )


def publish(seeds: Sequence[Seed], target: Path) -> None:
    """Writes the variant's folder from its finished seeds.

    Args:
        seeds: all of a variant.
        target: the folder.
    """
    shutil.rmtree(target, ignore_errors=True)
    for seed in seeds:
        seed_target = target / f"seed={seed.number}"
        seed_target.mkdir(parents=True)
        for name in (HISTORY, WEIGHTS if seed.has_weights else ANSWERS):
            shutil.copyfile(seed.folder / name, seed_target / name)
    write_run(make_run(seeds), target)


def leave_out(variant: Variant, target: Path) -> bool:
    """Writes why a variant is not trained into its folder, in place of a run.

    Returns:
        Whether it is left out; where not, nothing is written.

    Raises:
        UserError: its net cannot be trained at all.
    """
    if not (reason := variant.left_out):
        return False
    print(f"{variant.key} is left out: {reason}", flush=True)
    shutil.rmtree(target, ignore_errors=True)
    write_atomically(target / LEFT_OUT, f"{reason}\n".encode())
    return True


def forget(seeds: Sequence[Seed], *, keep: bool) -> None:
    """Deletes the states of published seeds.

    Args:
        seeds: all of a variant.
        keep: whether to keep how they ended, so that the next call needs only to copy them.
    """
    for seed in seeds:
        if keep:
            (seed.folder / STATE).unlink(missing_ok=True)
        else:
            # First what says that all else is there: a kill may come at any moment.
            (seed.folder / RESULT).unlink()
            shutil.rmtree(seed.folder)


def make_run(seeds: Sequence[Seed]) -> Run:
    """The content of ``run.json``.

    Args:
        seeds: of one variant, finished.
    """
    training = seeds[0].training
    variant, recipe = training.variant, training.variant.recipe
    return Run(
        scale=training.scale,
        key=variant.key,
        group=variant.group,
        model=variant.model,
        trick=variant.trick,
        tricks=variant.tricks,
        recipe=as_json(recipe),
        num_parameters=num_parameters(build_net(recipe.net, seed=0, device=torch.device("cpu"))),
        steps_per_epoch=recipe.steps_per_epoch,
        data=training.data_hashes(),
        seeds={seed.number: seed.result for seed in seeds if seed.result is not None},
    )


def log_times(seed: Seed, fitted: Fitted, *, seconds: float) -> None:
    """Notes what differs from one run to the next, for MLflow: never part of a DVC output."""
    training = seed.training
    path = project_root() / "logs" / training.scale / training.variant.key
    log = {
        "device_name": device_name(training.device),
        "images_per_second": fitted.images_per_second,
        "seconds": seconds,
    }
    write_atomically(path / f"seed={seed.number}.json", to_json(log))
