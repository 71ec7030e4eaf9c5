"""Variants that ``make repro`` trained before DVC asks for them: they are only copied to ``runs``.

They stay where they are until DVC has recorded them: it deletes an output whose end it did not see.
Nothing here imports PyTorch, so a stage that finds one takes a fraction of a second.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.base.sources import source_hash
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants, trainable_variants
from cifar_tricks.runs.folders import run_folder
from cifar_tricks.training.backbones import weights_file
from cifar_tricks.training.call import as_json
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE, AnyRecipe

AHEAD, STAMP = Path("resume") / "ahead", "stamp.json"


def folder_ahead(scale: str, variant: Variant) -> Path:
    """Where a variant waits for its stage."""
    return AHEAD / scale / variant.folder


def stamp(params: Params, variant: Variant) -> bytes:
    """All that must not have changed between a variant's training and its stage, as JSON."""
    recipe, size = variant.recipe, params.scales[params.scale]
    files = [TRAIN_FILE, *([COPIES_FILE] if recipe.copies else [])]
    files += [str(weights_file(variant.backbone))] if variant.backbone else []
    states = {file: Path(file).stat() for file in files}
    content: dict[str, Any] = {
        "recipe": as_json(recipe),
        "code": code_hash(recipe),
        "files": {file: [state.st_size, state.st_mtime_ns] for file, state in states.items()},
        "size": size.model_dump(mode="json"),
        "device": params.device,
        "records": params.records,
    }
    return to_json(content)


def is_ahead(params: Params, variant: Variant) -> bool:
    """Whether this very training is done and waits for its stage."""
    try:
        found = (folder_ahead(params.scale, variant) / STAMP).read_bytes()
        return found == stamp(params, variant)
    except OSError:
        return False


def set_ahead(params: Params, variant: Variant) -> None:
    """Says that the folder of :func:`folder_ahead` is whole."""
    write_atomically(folder_ahead(params.scale, variant) / STAMP, stamp(params, variant))


def take_ahead(params: Params, key: str, *, stage: str = "") -> bool:
    """Copies a variant to ``runs/<scale>/<key>``.

    Args:
        params: the checked parameters.
        key: as for :func:`cifar_tricks.runs.train.train_variant`.
        stage: of dvc.yaml, where DVC runs it: one that was forced trains.

    Returns:
        Whether it was trained ahead, as params.yaml, code and data are now.

    Raises:
        UserError: no such variant, or no backbone.
    """
    variant = find_variant(params, key, params.scale)
    if not is_ahead(params, variant) or (stage and not has_changed(stage)):
        forget_ahead(params, variant)
        return False
    target = run_folder(params.scale, variant.key)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        folder_ahead(params.scale, variant), target, ignore=shutil.ignore_patterns(STAMP)
    )
    return True


def forget_ahead(params: Params, variant: Variant) -> None:
    """Deletes what lies ahead, such as DVC has recorded."""
    folder = folder_ahead(params.scale, variant)
    # First what says that all else is there: a kill may come at any moment.
    with contextlib.suppress(OSError):
        (folder / STAMP).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def has_changed(stage: str) -> bool:
    """Whether a stage differs from what dvc.lock says of it, its output aside."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.stage.load_one(name=stage)
        return bool(found.changed_stage() or not found.deps_cached())


def find_variant(params: Params, name: str, scale: str) -> Variant:
    """The variant with this key or folder, which can be trained.

    Raises:
        UserError: there is none, or no backbone for it.
    """
    known = planned_variants(params, scale, ablation=True)
    found = next((one for one in known.values() if name in (one.key, one.folder)), None)
    if found is None:
        raise UserError(f"{name}: no variant has this key; {choose_from(name, known)}")
    if found.key not in trainable_variants(params, ablation=True):
        wanted = ", ".join(params.transfer.backbones)
        raise UserError(
            f"transfer.backbones = {wanted}: no source delivered these weights; try again with dvc "
            "repro --force --single-item download, or name another backbone; all else: make repro"
        )
    return found


def code_hash(recipe: AnyRecipe) -> str:
    """sha256 over the source of every module of this package that the training needs: the loop, and
    what the recipe calls, with all that these import. The same whatever else a process loads."""
    called = {call.place.rpartition(".")[0] for call in recipe.calls()}
    return source_hash({"cifar_tricks.runs.train", *called})
