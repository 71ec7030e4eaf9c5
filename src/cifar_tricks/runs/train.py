"""Training a variant: every seed, each resumable, then its folder in one go.

What is finished is not done again: a seed whose training ended before, or one from ``records``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cifar_tricks.base.place import check_place
from cifar_tricks.base.signals import stop_request
from cifar_tricks.base.surroundings import tell_rounding
from cifar_tricks.parameters.schema import Gpu, Params
from cifar_tricks.runs.ahead import (
    find_variant,
    folder_ahead,
    forget_ahead,
    is_ahead,
    set_ahead,
)
from cifar_tricks.runs.folders import run_folder
from cifar_tricks.runs.plan import Training, check_device, check_room, plan
from cifar_tricks.runs.publish import forget, leave_out, publish
from cifar_tricks.runs.records import take_record
from cifar_tricks.runs.reuse import take_cached
from cifar_tricks.runs.seed import Seed, locked
from cifar_tricks.runs.side_by_side import groups, train_seeds
from cifar_tricks.training.device import tell_device


def train_variant(params: Params, key: str) -> None:
    """Trains all seeds of a variant and writes ``runs/<scale>/<key>``.

    A seed that an interrupted call finished is not trained again, nor one that the stage had and no
    change touches; one that was begun goes on where it was; one that ``records`` holds is taken
    over, where ``records`` of params.yaml says so.

    Args:
        params: the checked parameters.
        key: of a variant, or ``transfer`` for the backbone that could be had.

    Raises:
        UserError: no such variant, no backbone, missing or damaged data, no such device, or another
            process is training the same.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    variant = find_variant(params, key, params.scale)
    if leave_out(variant, run_folder(params.scale, variant.key)):
        return
    parent = os.getppid()
    with _trained(params, key) as (training, seeds):
        publish(seeds, run_folder(training.scale, training.variant.key))
        # DVC deletes what it did not see the end of, and asks for it anew.
        forget(seeds, keep=os.getppid() != parent)


def train_ahead(params: Params, key: str) -> None:
    """Trains as :func:`train_variant` does, for its stage to take: see
    :mod:`cifar_tricks.runs.ahead`.

    Args:
        params: the checked parameters.
        key: of a variant.

    Raises:
        UserError, Interrupted: as :func:`train_variant` does.
    """
    variant = find_variant(params, key, params.scale)
    if is_ahead(params, variant):
        return
    if leave_out(variant, folder_ahead(params.scale, variant)):
        return set_ahead(params, variant)
    with _trained(params, key) as (training, seeds):
        forget_ahead(params, training.variant)
        publish(seeds, folder_ahead(training.scale, training.variant))
        set_ahead(params, training.variant)
        forget(seeds, keep=False)


@contextmanager
def _trained(params: Params, key: str) -> Iterator[tuple[Training, list[Seed]]]:
    """All seeds of a variant, finished; their folders stay locked until the results are where they
    belong."""
    check_place()
    training = plan(params, key)
    check_room(training, len(params.seeds))
    with locked(training, params.seeds) as seeds, stop_request() as stop_requested:
        take_cached(seeds)
        train_missing(seeds, params.gpu, stop_requested, use_records=params.records == "use")
        yield training, seeds


def train_missing(
    seeds: list[Seed], gpu: Gpu, stop_requested: Callable[[], bool], *, use_records: bool
) -> None:
    """Trains what has not ended yet; afterwards every seed has its result.

    Args:
        seeds: of one variant, locked.
        gpu: how a GPU is used.
        stop_requested: see :func:`stop_request`.
        use_records: whether to take over what is on record, which has no weights.

    Raises:
        UserError: a damaged record, or the GPU's memory ran out.
        Interrupted: ``stop_requested`` said so; the states are saved.
    """
    left = [seed for seed in seeds if not _is_done(seed, use_records=use_records)]
    if not left:
        return
    check_device(seeds[0].training)
    tell_rounding()
    if (device := seeds[0].training.device).type == "cuda":
        tell_device(device)
    for group in groups(left, gpu.seeds_at_once):
        train_seeds(group, stop_requested, graphs=gpu.graphs)


def _is_done(seed: Seed, *, use_records: bool) -> bool:
    """Whether this seed is finished, or has a record to take over; says so."""
    accepted = seed.result is not None and seed.training.accepts(seed.result.origin.device)
    if accepted and (seed.has_weights or use_records):
        print(f"{seed.folder.name}: already trained, kept", flush=True)
        return True
    return use_records and take_record(seed)
