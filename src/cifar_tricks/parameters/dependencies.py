"""What DVC compares where neither a parameter nor a folder says exactly what a stage needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cifar_tricks import tricks
from cifar_tricks.base.files import hash_file
from cifar_tricks.base.sources import PACKAGE
from cifar_tricks.parameters.ablation import ablated
from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.parameters.protocol import dataset, protocol
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, variants
from cifar_tricks.training.call import as_json

# What the results of the trainings do not depend on, or what the chosen scale stands for.
NOT_OF_THE_STUDY = {
    "data",
    "scales",
    "improve_at",
    "model",
    "trick",
    "device",
    "gpu",
    "records",
    "factorial",
    "ablation",
    "visualize",
}


def study_parameters(params: Params) -> dict[str, Any]:
    """The parameters of all variants at the chosen scale, as JSON values, and what is on record
    besides of the ingredients of a recipe."""
    size = params.scales[params.scale]
    records = _ablation_records(params)
    return {
        **({"ablation": records} if records else {}),
        **params.model_dump(mode="json", exclude=NOT_OF_THE_STUDY),
        "data": asdict(dataset(params)),
        "size": size.model_dump(mode="json", exclude={"train", "data"}, exclude_none=True),
        "train": protocol(params).model_dump(mode="json"),
        "improve_at": params.model_dump(mode="json")["improve_at"].get(params.scale, {}),
    }


def _ablation_records(params: Params) -> dict[str, str]:
    """The hashes of the records of ``ablation``, which no stage takes over, by their path."""
    keys = [key for key, *_ in ablated(params, params.scale)]
    folder = Path("records") / params.scale
    paths = [path for key in keys for path in sorted((folder / key).glob("seed=*.json"))]
    return {path.as_posix(): hash_file(path) for path in paths}


def recipes(params: Params) -> dict[str, dict[str, Any]]:
    """What each training is made of, by the name of its folder in ``runs``, as JSON values: its
    recipe, the hash of each trick's file and, where it trains with copies, what makes these.

    Of ``transfer`` the recipe for each backbone: it is not known yet which of them can be had.
    """
    found: dict[str, dict[str, Any]] = {}
    for backbone in params.transfer.backbones:
        for variant in variants(params, backbone=backbone).values():
            content = _made_of(params, variant)
            if variant.backbone:
                content = found.get(variant.folder, {}) | {backbone: content}
            found[variant.folder] = content
    return found


def _made_of(params: Params, variant: Variant) -> dict[str, Any]:
    content: dict[str, Any] = {
        "recipe": as_json(variant.recipe),
        "tricks": {name: _sha256(name) for name in variant.tricks},
    }
    if isinstance(variant.recipe.net, ImportedSpec):
        # Which no stage names, since most nets do without.
        content["code"] = hash_file(PACKAGE / "imported/build.py")
    if variant.recipe.copies:
        content["copies"] = {"values": params.tricks["augment"], "sha256": _sha256("augment")}
    return content


def _sha256(trick: str) -> str:
    return hash_file(Path(tricks.__path__[0]) / f"{trick}.py")
