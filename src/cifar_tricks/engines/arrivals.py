"""What comes from elsewhere: whether it is what this study plans, and where it is put."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US
from cifar_tricks.engines.jobs import Job, Trained
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.folders import HISTORY, WEIGHTS, record_file
from cifar_tricks.runs.plan import Training, plan
from cifar_tricks.runs.records import (
    Record,
    difference,
    on_record,
    parse_record,
    read_record,
)
from cifar_tricks.runs.reuse import take_cached, trained_seeds
from cifar_tricks.runs.seed import Seed, check_files, locked
from cifar_tricks.training.backbones import weights_file
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE


def missing(study: Study, jobs: Sequence[Job]) -> list[Job]:
    """The jobs without the seeds that are here already: on record, or for ``dvc repro`` trained.

    Raises:
        UserError: a record is damaged, or what was trained.
    """
    if "record" in study.keep:
        here = {
            (job.key, seed)
            for job in jobs
            for seed in job.seeds
            if _on_record(study, job.key, seed)
        }
    else:
        keys = dict.fromkeys(job.key for job in jobs)
        here = {(key, seed) for key in keys for seed in _trained(study, key)}
    left = (Job(job.key, [s for s in job.seeds if (job.key, s) not in here]) for job in jobs)
    return [job for job in left if job.seeds]


def without_weights(study: Study, jobs: Sequence[Job]) -> list[Job]:
    """The jobs' seeds that are on record, and whose weights are not here.

    Raises:
        UserError: a record is damaged, or what was trained.
    """
    wanted = {(job.key, seed) for job in jobs for seed in job.seeds}
    wanted -= {(job.key, seed) for job in missing(study, jobs) for seed in job.seeds}
    left = []
    for key in dict.fromkeys(job.key for job in jobs):
        training = _planned(study, key)
        here = {seed for seed, one in trained_seeds(training).items() if not one.origin.recorded}
        numbers = [seed for one, seed in sorted(wanted) if one == key and seed not in here]
        with locked(training, numbers) as seeds:
            left.append(Job(key, [seed.number for seed in seeds if not seed.has_weights]))
    return [job for job in left if job.seeds]


def objection(study: Study, key: str, seed: int, content: bytes) -> str:
    """What speaks against a record, "" for nothing: its signature, variant, seed, recipe, data,
    engine's number or kind of device."""
    try:
        record = parse_record(content)
    except NOT_WRITTEN_BY_US as error:
        return f"it is damaged: {error}"
    found = (record.run.scale, record.run.key, record.seed)
    if found != (study.params.scale, key, seed):
        return "it is of {} {} seed={}".format(*found)
    device = record.result.origin.device
    if study.device and device != study.device:
        return f"it was trained on {device}, not on {study.device}"
    return _difference(study, record)


def keep(study: Study, trained: Trained) -> str:
    """Puts what has come into its place; returns what speaks against it, "" for nothing.

    Args:
        study: what it belongs to, and what is kept.
        trained: a seed from elsewhere.
    """
    if reason := objection(study, trained.key, trained.seed, trained.record):
        return reason
    if "record" in study.keep and not _on_record(study, trained.key, trained.seed):
        path = record_file(study.params.scale, trained.key, trained.seed)
        write_atomically(path, trained.record)
    if not study.weights:
        return ""
    if trained.weights is None:
        return "its weights are gone"
    try:
        _leave_weights(_planned(study, trained.key), trained, trained.weights)
    except UserError as error:
        return str(error)
    return ""


def _leave_weights(training: Training, trained: Trained, weights: bytes) -> None:
    """Leaves a finished seed as if it had been trained here.

    Raises:
        UserError: its weights are damaged, or another process trains it.
    """
    record = parse_record(trained.record)
    origin = replace(record.result.origin, recorded=False, seconds=None)
    result = replace(record.result, origin=origin)
    with locked(training, [trained.seed]) as (seed,):
        seed.begin()
        write_atomically(seed.folder / HISTORY, record.history)
        write_atomically(seed.folder / WEIGHTS, weights)
        check_files(seed.folder, result, remedy="it arrived so")
        seed.end(result)


def _trained(study: Study, key: str) -> list[int]:
    """The seeds of a variant that its stage would not train but take over."""
    params, training = study.params, _planned(study, key)
    os.environ["DVC_STAGE"] = training.variant.stage  # of which DVC's cache may have some
    with locked(training, params.seeds) as seeds:
        take_cached(seeds)
        os.environ.pop("DVC_STAGE")
        return [seed.number for seed in seeds if _is_here(params, seed)]


def _planned(study: Study, key: str) -> Training:
    """Its code is hashed for a good part of a second: once for each variant."""
    if key not in study.plans:
        study.plans[key] = plan(study.params, key)
    training: Training = study.plans[key]
    return training


def _is_here(params: Params, seed: Seed) -> bool:
    if params.records == "use" and on_record(seed.training, seed.number):
        return True
    result = seed.result if seed.has_weights else None
    return result is not None and seed.training.accepts(result.origin.device)


def _on_record(study: Study, key: str, seed: int) -> bool:
    try:
        record = read_record(record_file(study.params.scale, key, seed))
    except FileNotFoundError:
        return False
    return not _difference(study, record)


def _difference(study: Study, record: Record) -> str:
    scale, variant = study.params.scale, study.variants[record.run.key]
    weights = weights_file(variant.backbone) if variant.backbone else None
    planned = Training(
        scale=scale,
        variant=variant,
        # Where it was trained: this machine may have no such device.
        device=torch.device(record.result.origin.device),
        arrays=_hashed(TRAIN_FILE),
        copies=_hashed(COPIES_FILE) if variant.recipe.copies else None,
        backbone=_hashed(weights) if weights else None,
        code="",  # of no account for a record
        test_images=study.params.scales[scale].test_images,
        device_of_scale=study.params.scales[scale].device,
    )
    return difference(record, planned)


def _hashed(file: Path | str) -> Arrays:
    """A file's hash without its content, which would fill the memory."""
    path = Path(file).resolve()
    return Arrays(arrays={}, sha256=_hash(path, path.stat().st_mtime_ns if path.exists() else 0))


@cache
def _hash(file: Path, changed: int) -> str:
    return read_arrays(file).sha256
