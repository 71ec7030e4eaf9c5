"""Whether a record that comes from elsewhere is what this study plans."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US
from cifar_tricks.engines.jobs import Job
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import planned_variants
from cifar_tricks.runs.folders import record_file
from cifar_tricks.runs.plan import Training, code_hash
from cifar_tricks.runs.records import Record, difference, parse_record, read_record
from cifar_tricks.training.backbones import weights_file
from cifar_tricks.training.images import COPIES_FILE, TRAIN_FILE


def missing(study: Study, jobs: Sequence[Job]) -> list[Job]:
    """The jobs without the seeds that are on record here.

    Raises:
        UserError: a record is damaged.
    """
    left = []
    for job in jobs:
        seeds = [seed for seed in job.seeds if not _on_record(study.params, job.key, seed)]
        if seeds:
            left.append(Job(job.key, seeds))
    return left


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
    return _difference(study.params, record)


def _on_record(params: Params, key: str, seed: int) -> bool:
    try:
        record = read_record(record_file(params.scale, key, seed))
    except FileNotFoundError:
        return False
    return not _difference(params, record)


def _difference(params: Params, record: Record) -> str:
    variant = planned_variants(params)[record.run.key]
    weights = weights_file(variant.backbone) if variant.backbone else None
    planned = Training(
        scale=params.scale,
        variant=variant,
        # Where it was trained: this machine may have no such device.
        device=torch.device(record.result.origin.device),
        arrays=_hashed(TRAIN_FILE),
        copies=_hashed(COPIES_FILE) if variant.recipe.copies else None,
        backbone=_hashed(weights) if weights else None,
        code=code_hash(variant.recipe),
        test_images=params.scales[params.scale].test_images,
    )
    return difference(record, planned)


def _hashed(file: Path | str) -> Arrays:
    """A file's hash without its content, which would fill the memory."""
    return Arrays(arrays={}, sha256=_hash(Path(file).resolve()))


@cache
def _hash(file: Path) -> str:
    return read_arrays(file).sha256
