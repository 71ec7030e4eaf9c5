"""Which seeds need no training: those that ended before, and those on record."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.mistakes import choose_from, printable
from cifar_tricks.base.signed_json import differences, signed, to_json
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.folders import ANSWERS, HISTORY, WEIGHTS, read_run, record_file, seed_folder
from cifar_tricks.runs.records import Record, read_record
from cifar_tricks.runs.run import SeedResult
from cifar_tricks.runs.seed import Training, finished_result, keep_result
from cifar_tricks.training.call import MOVED
from cifar_tricks.training.loop import ENGINE
from cifar_tricks.tricks import trick_names


def _is_done(params: Params, training: Training, folder: Path) -> bool:
    """Whether this seed is finished, or has a record to take over; says so."""
    use_records = params.records == "use"
    if finished_result(folder) is not None and (use_records or (folder / WEIGHTS).exists()):
        print(f"{folder.name}: already trained, kept", flush=True)
        return True
    test_images = params.scales[params.scale].test_images
    return use_records and take_record(training, folder, test_images=test_images)


def difference(record: Record, training: Training, *, test_images: int) -> str:
    """What keeps a record from being the result of this training, "" for nothing.

    The machine and the version of PyTorch may differ: they move a result less than another seed
    does (docs/decisions/pipeline.md), and the report names them.

    Args:
        record: of a seed.
        training: what is to be trained.
        test_images: how many there are to answer.
    """
    run = record.run
    if unknown := unknown_name(run.recipe):
        return unknown
    found = {"recipe": run.recipe, "seed": record.seed, "data": run.data}
    found |= {"engine": record.result.origin.engine, "test_images": record.answers.get("images")}
    wanted = {"recipe": asdict(training.variant.recipe), "seed": training.seed}
    wanted |= {"data": training.data_hashes(), "engine": ENGINE, "test_images": test_images}
    return differences(found, wanted)


def unknown_name(value: Any, where: str = "recipe") -> str:
    """Says what a recipe calls that this version of the package does not have, "" for nothing.

    Args:
        value: a recipe as JSON values, or a part of it.
        where: the keys that lead here.
    """
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    for key, part in value.items() if isinstance(value, dict) else ():
        place = f"{where}.{key}"
        if key == "target" and isinstance(part, str) and not _is_known(part):
            return f"{place} = {printable(part)}: not in this version; {choose_from(part, MOVED)}"
        if unknown := unknown_name(part, place):
            return unknown
    return ""


def _is_known(target: str) -> bool:
    tricks = {f"cifar_tricks.tricks.{name}" for name in trick_names()}
    ours = target.startswith("cifar_tricks.")
    return not ours or target in MOVED or target.rpartition(".")[0] in tricks


def take_record(training: Training, folder: Path, *, test_images: int) -> bool:
    """Puts the record of a training, if there is one, into its folder as if it had ended there.

    A record of other parameters, data or engine is left alone, which is said in a line.

    Args:
        training: what is to be trained.
        folder: of its state.
        test_images: how many there are to answer.

    Returns:
        Whether there was one.

    Raises:
        UserError: it is damaged.
    """
    path = record_file(training.scale, training.variant.key, training.seed)
    try:
        record = read_record(path)
    except FileNotFoundError:
        return False
    if differing := difference(record, training, test_images=test_images):
        print(f"{path} is not taken over: {differing}", flush=True)
        return False
    write_atomically(folder / HISTORY, record.history)
    write_atomically(folder / ANSWERS, to_json(signed(record.answers)))
    keep_result(folder, record.result)
    print(f"{path}: taken over", flush=True)
    return True


def on_record(training: Training, *, test_images: int) -> bool:
    """Whether there is a record of this very training.

    Raises:
        UserError: it is damaged.
    """
    try:
        path = record_file(training.scale, training.variant.key, training.seed)
        return not difference(read_record(path), training, test_images=test_images)
    except FileNotFoundError:
        return False


def adopt(training: Training, folder: Path) -> bool:
    """Copies a seed that ``dvc repro`` trained from ``runs`` to the folder of its state.

    Args:
        training: whose result is wanted.
        folder: of its state, claimed.

    Returns:
        Whether there was one of this very training, with its weights.
    """
    result = trained_seeds([training]).get(training.seed)
    if result is None or result.origin.recorded:
        return False
    source = seed_folder(training.scale, training.variant.key, training.seed)
    for name in (WEIGHTS, HISTORY):
        shutil.copyfile(source / name, folder / name)
    keep_result(folder, result)
    return True


def trained_seeds(trainings: list[Training]) -> dict[int, SeedResult]:
    """The results in ``runs``, by seed, that are of these trainings of one variant: of the same
    recipe, data and engine."""
    first = trainings[0]
    try:
        run = read_run(first.scale, first.variant.key)
    except UserError:
        return {}
    wanted = {"recipe": asdict(first.variant.recipe), "data": first.data_hashes()}
    if differences({"recipe": run.recipe, "data": run.data}, wanted):
        return {}
    seeds = {training.seed for training in trainings}
    return {
        seed: result
        for seed, result in run.seeds.items()
        if seed in seeds and result.origin.engine == ENGINE
    }


def _has_weights(folder: Path) -> bool:
    return finished_result(folder) is not None and (folder / WEIGHTS).exists()


def _is_there(params: Params, training: Training, folder: Path, *, test_images: int) -> bool:
    if finished_result(folder) is not None:
        return True
    return params.records == "use" and take_record(training, folder, test_images=test_images)
