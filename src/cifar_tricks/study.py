"""Training a variant: every seed, each resumable, then its folder in one go."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from cifar_tricks.arrays import read_arrays
from cifar_tricks.backbones import used_backbone, weights_file
from cifar_tricks.claims import DESCRIPTION, AlreadyRunning, sole_writer
from cifar_tricks.data import COPIES_FILE, TRAIN_FILE
from cifar_tricks.errors import Interrupted, UserError
from cifar_tricks.files import project_root, restored
from cifar_tricks.machine import choose_device, prepare
from cifar_tricks.models import build_net
from cifar_tricks.publish import publish
from cifar_tricks.recipe import BackboneSpec
from cifar_tricks.resume import Training, code_hash
from cifar_tricks.schema import Params, choose_from
from cifar_tricks.seeds import groups, is_done, train_seeds
from cifar_tricks.variants import Variant, variants

SMALL_FILES_BYTES = 10_000_000
SECONDS_TO_STOP = 5.0


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
    parent = os.getppid()
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
        for group in groups(trainings, params.gpu.seeds_at_once):
            claimed = [claims.enter_context(_claim(training)) for training in group]
            folders += claimed
            left = [pair for pair in zip(group, claimed, strict=True) if not is_done(pair[1])]
            if left:
                train_seeds(left, stop_requested, graphs=params.gpu.graphs)
        # DVC deletes what it did not see the end of, and asks for it anew.
        publish(trainings, folders, keep=os.getppid() != parent)


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
            f"{needed} bytes ({needed / 1e6:.0f} MB)"
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
        if not (folder / DESCRIPTION).exists():
            for line in training.other_states(folder):
                print(line, flush=True)
            training.describe(folder)
        yield folder


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag that the training asks for after each step.

    What takes longer than SECONDS_TO_STOP, such as the last measurement of a large net, is cut
    short; the run then goes on from the state before.
    """
    received: list[int] = []

    def stop_soon(number: int, _: object) -> None:
        received.append(number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_STOP)

    def stop_now(*_: object) -> None:
        raise Interrupted

    stops = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        stops.append(signal.SIGHUP)
    previous = {number: signal.signal(number, stop_soon) for number in stops}
    previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, stop_now)
    try:
        yield lambda: bool(received)
    except Interrupted as error:
        raise Interrupted(*received[:1]) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
