"""Training a variant: every seed, each resumable, then its folder in one go.

What is finished is not done again: a seed whose training ended before, or one from ``records``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, restored
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.base.place import check_place
from cifar_tricks.base.signals import stop_request
from cifar_tricks.base.surroundings import tell_rounding
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, variants
from cifar_tricks.runs.finished import _is_done
from cifar_tricks.runs.publish import publish
from cifar_tricks.runs.reuse import take_cached
from cifar_tricks.runs.seed import Training, claimed, code_hash
from cifar_tricks.runs.side_by_side import groups, train_seeds
from cifar_tricks.training.backbones import used_backbone, weights_file
from cifar_tricks.training.device import choose_device, prepare
from cifar_tricks.training.images import COPIES_FILE, TRAIN_FILE
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.recipe import BackboneSpec

SMALL_FILES_BYTES = 10_000_000


def train_variant(params: Params, key: str) -> None:
    """Trains all seeds of a variant and writes ``runs/<scale>/<key>``.

    A seed that an interrupted call finished is not trained again, nor one that the stage had and no
    change touches; one that was begun goes on where it was; one that ``records`` holds is taken
    over, where ``records`` of params.yaml says so.

    Args:
        params: the checked parameters.
        key: of :func:`cifar_tricks.parameters.load.variants`, or ``transfer`` for the backbone that
            could be had.

    Raises:
        UserError: no such variant, no backbone, missing or damaged data, no such device, or another
            process is training the same.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    parent = os.getppid()
    check_place()
    trainings = plan(params, key, params.seeds)
    check_room(trainings)
    # Every folder stays claimed until the results are where they belong.
    with claimed(trainings) as folders, stop_request() as stop_requested:
        take_cached(trainings, folders)
        train_missing(params, trainings, folders, stop_requested)
        # DVC deletes what it did not see the end of, and asks for it anew.
        publish(trainings, folders, keep=os.getppid() != parent)


def train_missing(
    params: Params,
    trainings: list[Training],
    folders: list[Path],
    stop_requested: Callable[[], bool],
) -> None:
    """Trains what has not ended yet; afterwards every folder holds a finished seed.

    Args:
        params: the checked parameters.
        trainings: seeds of one variant.
        folders: of their states, claimed.
        stop_requested: see :func:`stop_request`.

    Raises:
        UserError: a damaged record, or the GPU's memory ran out.
        Interrupted: ``stop_requested`` said so; the states are saved.
    """
    folder_of = {
        training.seed: folder
        for training, folder in zip(trainings, folders, strict=True)
        if not _is_done(params, training, folder)
    }
    left = [training for training in trainings if training.seed in folder_of]
    if not left:
        return
    tell_rounding()
    for group in groups(left, params.gpu.seeds_at_once):
        pairs = [(training, folder_of[training.seed]) for training in group]
        train_seeds(pairs, stop_requested, graphs=params.gpu.graphs)


def plan(params: Params, key: str, seeds: Sequence[int]) -> list[Training]:
    """The trainings of a variant, ready to begin.

    Args:
        params: the checked parameters.
        key: as for :func:`train_variant`.
        seeds: which ones.

    Raises:
        UserError: as :func:`train_variant` does.
    """
    variant = _find_variant(params, key)
    device = choose_device(params.device)
    prepare(device, threads=variant.recipe.threads, precision=variant.recipe.precision)
    arrays = read_arrays(TRAIN_FILE)
    copies = read_arrays(COPIES_FILE) if variant.recipe.copies else None
    backbone = None
    if isinstance(spec := variant.recipe.net, BackboneSpec):
        file = weights_file(spec.backbone)
        backbone = read_arrays(file, remedy=restored(file.parent))
    code = code_hash(variant.recipe)
    return [
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
        for seed in seeds
    ]


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
            f"transfer.backbones = {wanted}: no source delivered these weights; try again with dvc "
            "repro --force --single-item download, or name another backbone; all else: make repro"
        )
    return variants(params, backbone=backbone)[f"transfer-{backbone}"]


def check_room(trainings: list[Training]) -> None:
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
            f"{needed} bytes ({needed / 1e6:.0f} MB)"
        )
