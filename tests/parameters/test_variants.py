"""What follows from a variant's names, and which variants a checkout can train."""

import json
from pathlib import Path

import pytest
from helpers.project import ROOT
from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import planned_variants, trainable_variants, variants
from cifar_tricks.training.backbones import CHOICE_FILE

PARAMS = load_params(ROOT / "params.yaml")
SMALL = {key for key in variants(PARAMS) if not key.startswith("transfer-")}


@pytest.mark.parametrize(
    ("key", "stage", "folder"),
    [
        ("reference-baseline", "reference", "reference-baseline"),
        ("model1-leaky_relu", "train@model1-leaky_relu", "model1-leaky_relu"),
        ("improve-best", "improve@best", "improve-best"),
        (
            "sensitivity-model1_batch_32",
            "sensitivity@model1_batch_32",
            "sensitivity-model1_batch_32",
        ),
        ("transfer-resnet18", "transfer", "transfer"),
    ],
)
def test_a_variant_knows_its_stage_and_its_folder(key: str, stage: str, folder: str) -> None:
    variant = variants(PARAMS)[key]
    assert (variant.stage, variant.folder) == (stage, folder)
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    one = stages[stage.partition("@")[0]]
    (out,) = one.get("do", one)["outs"]
    assert out.startswith("runs/${scale}/")
    assert "$" in out.removeprefix("runs/${scale}/") or out.endswith(f"/{folder}")


def test_which_backbone_is_planned_and_whether_it_can_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(planned_variants(PARAMS)) == SMALL | {"transfer-resnet18"}
    assert set(trainable_variants(PARAMS)) == SMALL
    CHOICE_FILE.parent.mkdir(parents=True)
    CHOICE_FILE.write_text(json.dumps({"used": "efficientnet_lite0", "wanted": []}))
    assert set(planned_variants(PARAMS)) == SMALL | {"transfer-efficientnet_lite0"}
    assert trainable_variants(PARAMS) == planned_variants(PARAMS)
    assert planned_variants(PARAMS)["transfer-efficientnet_lite0"].backbone == "efficientnet_lite0"
    CHOICE_FILE.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        planned_variants(PARAMS)
