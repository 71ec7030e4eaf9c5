"""Every mistake in params.yaml is one line that names the key, the value and what is valid."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from helpers.project import ROOT, leaves, one_line_lists
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.call import Call

TEXT = one_line_lists((ROOT / "params.yaml").read_text())


def load_text(folder: Path, text: str) -> Any:
    path = folder / "params.yaml"
    path.write_text(text)
    return load_params(path)


def test_the_committed_file_is_valid_and_spans_the_study() -> None:
    params = load_params(ROOT / "params.yaml")
    keys = variants(params)
    assert params.scale == "quick"
    assert len(params.models) == 2 and len(params.tricks) == 9
    expected = {f"{m}-{t}" for m in params.models for t in params.tricks} | {"reference-baseline"}
    expected |= {f"improve-{step}" for step in params.improve}
    expected |= {f"combine-{step}" for step in params.combine}
    expected |= {f"sensitivity-{name}" for name in params.sensitivity}
    assert set(keys) == expected | {"transfer-resnet18"}
    other = variants(params, backbone="efficientnet_lite0")
    assert set(other) == expected | {"transfer-efficientnet_lite0"}
    assert {key: variant.key for key, variant in keys.items()} == {key: key for key in keys}


def test_full_scale_is_the_protocol_of_the_report() -> None:
    params = load_params(ROOT / "params.yaml")
    recipe = variants(params, "full")["model1-baseline"].recipe
    assert (recipe.train_images, recipe.validation_images) == (45_000, 5_000)
    assert (recipe.batch_size, recipe.num_epochs, recipe.early_stop_count) == (64, 10, 4)
    assert recipe.steps_per_epoch == 703
    assert asdict(recipe.optimizer) == {"target": "torch.optim.SGD", "arguments": {"lr": 0.05}}
    assert variants(params, "full")["model1-augment"].recipe.steps_per_epoch == 1406


def test_fixed_is_the_same_trainings_under_another_protocol() -> None:
    params = load_params(ROOT / "params.yaml")
    full, fixed = variants(params, "full"), variants(params, "fixed")
    changed = {"schedule": Call("cifar_tricks.schedules.linear"), "early_stop_count": None}
    for model in params.models:
        for trick in params.tricks:
            key = f"{model}-{trick}"
            assert fixed[key].recipe == replace(full[key].recipe, **changed)
    assert params.scales["fixed"].seeds == params.scales["full"].seeds


NET = "{filters: [8], kernel_size: 3, stride: 1, padding: 1, pool: 2, hidden: []}"
MISTAKES = {
    "scale: quick": ("scale: quikc", ["scale = quikc", "did you mean quick?", "full"]),
    "trick: baseline ": ("trick: laeky_relu ", ["laeky_relu", "did you mean leaky_relu?"]),
    "model: model1  ": ("model: modle1  ", ["modle1", "did you mean model1?", "reference"]),
    "device: auto": ("device: gpu", ["device = 'gpu'", "'cuda'"]),
    "negative_slope: 0.1}\n": ("negative_slop: 0.1}\n", ["leaky_relu", "negative_slope?"]),
    "  leaky_relu: {": ("  laeky_relu: {", ["tricks.laeky_relu", "did you mean leaky_relu?"]),
    "probability: 0.25": ("probability: 1.5", ["tricks.dropout.probability = 1.5", "less than 1"]),
    "num_epochs: 2": ('num_epochs: "2"', ["scales.quick.num_epochs = '2'", "integer"]),
    "threads: 1 ": ("threads: true ", ["scales.quick.threads = True", "integer"]),
    "learning_rate: 0.05": ("learning_rate: .nan", ["train.learning_rate = nan", "finite"]),
    "batch_size: 64": ("batch_size: 0", ["train.batch_size = 0", "greater than or equal to 1"]),
    "  early_stop_count: 4": ("  #", ["train.early_stop_count is missing"]),
    "validations_per_epoch: 2": ("validations_per_epoch: 900", ["validations_per_epoch = 900"]),
    "seeds: [0]": ("seeds: [3, 3]", ["scales.quick.seeds = [3, 3]"]),
    "filters: [64, 64, 64]": ("filters: []", ["models.model1.filters = []"]),
    "pool: 2\n": ("pool: 20\n", ["models.model1", "shrinks to nothing in layer 2"]),
    "validation_images: 5000": ("validation_images: 5001", ["scales.full", "50001", "50000"]),
    "net: {filters: [64, 64, 64, 64]}": ("net: {filterz: [4]}", ["improve.fourth_layer.net"]),
    "combine:  ": ("combne:  ", ["unknown key combne", "did you mean combine?"]),
    "train:  ": ("train: {{", ["not valid YAML"]),
    "  schedule: constant ": ("  schedule: cosine ", ["train.schedule = 'cosine'", "'linear'"]),
    "      schedule: linear": ("      schedul: linear", ["scales.fixed.train", "schedule?"]),
    "      early_stop_count:\n": (
        "      early_stop_count: 0\n",
        ["scales.fixed.train.early_stop_count = 0"],
    ),
    "models:    ": (f"models:\n  improve: {NET}\n  #", ["models.improve", "taken"]),
    "factorial:   ": (
        "factorial:\n  modle1: [augment, adam]\n  #",
        ["factorial = modle1", "model1?"],
    ),
    "model1: [augment, batch": (
        "model1: [augmnet, batch",
        ["factorial.model1 = augmnet", "augment?"],
    ),
    "[augment, adam,": ("[adam, adam,", ["factorial.model2", "each trick once"]),
    "[augment, batch_norm, leaky_relu]": ("[augment]", ["factorial.model1 = ['augment']", "2"]),
    "{stride: 2, pool": ("{strid: 2, pool", ["sensitivity.model1_stride_2.net", "stride?"]),
    "batch_32: {model: model1": ("batch_32: {model: modle1", ["sensitivity.model1_batch_32.model"]),
    "net: {pool: 3}": ("tricks: {adam: {}}", ["sensitivity.model1_pool_3", "unknown key tricks"]),
    "  augment: {padding: 4, flip_probability: 0.5, seed: 0}": ("", ["tricks.augment is missing"]),
    "  baseline: {}": ("  # {}", ["tricks.baseline is missing"]),
    "test_images: 2000": ("test_images: 10001", ["scales.quick.test_images = 10001", "10000"]),
    "backbones: [resnet18,": ("backbones: [resent18,", ["transfer.backbones", "resnet18?"]),
    ", efficientnet_lite0]": (", resnet18]", ["transfer.backbones", "each name once"]),
    "[resnet18, efficientnet_lite0]": ("[]", ["transfer.backbones = []"]),
    "image_size: 224": ("image_size: 225", ["transfer.image_size = 225", "multiple of 32"]),
    "cache_gb: 6.0": ("cache_gb: -1.0", ["transfer.cache_gb = -1.0"]),
    "  batch_size: 32\n": ("  batch_size: 2001\n", ["transfer.batch_size = 2001", "2000"]),
    "    resnet18:\n": ("    resnet81:\n", ["visualize.layers", "resnet18?"]),
    "filters: [14,": ("filters: [-14,", ["visualize.layers.resnet18.filters.0 = -14"]),
    "      last: layer4\n": ("", ["visualize.layers.resnet18.last is missing"]),
    "{kernel_size: 2, images: 5000,": (
        "{kernel_size: 24, images: 5,",
        ["improve.record.tricks.whitening: 5 images have 405 patches of 24 x 24 pixels", "1728"],
    ),
    "      translate: {pixels: 2}": (
        "      translate: {pixels: 2}\n      augment_online: {flip_probability: 0.5}",
        ["improve.record.tricks: alternating_flip and augment_online", "flip_probability = 0"],
    ),
    "test_time_augmentation: {pixels: 1}": (
        "test_time_augmentation: {pixels: 40}",
        ["improve.record.tricks.test_time_augmentation.pixels = 40", "31"],
    ),
    "      gelu: {}\n": (
        "      gelu: {}\n      silu: {}\n",
        ["improve.record.tricks.gelu: it changes nothing", "takes its place"],
    ),
    "      bias_rate: {factor: 64.0}\n": (
        "      adam: {learning_rate: 0.001}\n      bias_rate: {factor: 64.0}\n",
        ["improve.record.tricks.momentum: it changes nothing"],
    ),
    "      pool_every: 2\n      hidden: []\n    # that": (
        "      pool: null\n      hidden: []\n    # that",
        ["improve.record.tricks.early_pooling", "no pooling"],
    ),
    "  recipe: record": ("  recipe: recrod", ["ablation.recipe = recrod", "did you mean record?"]),
    "without: [gelu]": ("without: [geul]", ["ablation.changes.silu.without = geul", "gelu?"]),
    "    models: [model1, model2]\n": (
        "    models: [model3]\n",
        ["ablation.alone.models = model3"],
    ),
    "      dirac: {}\n      momentum: {}\n": (
        "      dirac: {size: 3}\n",
        ["ablation.alone.tricks.dirac", "unknown key size"],
    ),
    "    record: {net: {filters: [16, 16, 32": (
        "    recrod: {net: {filters: [16, 16, 32",
        ["improve_at.quick = recrod", "did you mean record?"],
    ),
    "{net: {filters: [16, 16, 32": (
        "{without: [geul], net: {filters: [16, 16, 32",
        ["improve_at.quick.record.without = geul", "gelu?"],
    ),
    "    record: {net: {filters: [16, 16, 64": (
        "    record: {tricks: {silu: {}}, net: {filters: [16, 16, 64",
        ["improve_at.small.record.tricks.gelu: it changes nothing"],
    ),
    "filters: [16, 16, 32": (
        "filters: [0, 16, 32",
        ["improve_at.quick.record.net.filters.0 = 0"],
    ),
    "64, 64]}, train: {batch_size: 128}": (
        "64, 64]}, train: {batch_size: 5001}",
        ["improve_at.small.record.train.batch_size = 5001", "5000 training images"],
    ),
    "  fashion_mnist:\n    record": (
        "  fashion_mnits:\n    record",
        ["improve_at = fashion_mnits", "did you mean fashion_mnist?"],
    ),
    "    all_images: {all_images: true}": (
        "    all_images: {all_images: true, train: {early_stop_count: 2}}",
        ["ablation.changes.all_images.all_images: no validation images", "= 2", "null"],
    ),
    "stacked:\n    model: model1": (
        "stacked:\n    model: reference",
        ["improve.stacked.model = reference", "valid: model1, model2"],
    ),
}


@pytest.mark.parametrize("before", MISTAKES)
@pytest.mark.fault("params")
def test_a_mistake_is_told_in_one_line(before: str, tmp_path: Path) -> None:
    after, expected = MISTAKES[before]
    assert before in TEXT
    with pytest.raises(UserError) as error:
        load_text(tmp_path, TEXT.replace(before, after, 1))
    message = str(error.value)
    assert "\n" not in message and "params.yaml" in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize("text", ["", "- 1\n", "[]", "scale: [quick]\n", "\x00", "a: 1\na: 2\n"])
@pytest.mark.fault("params")
def test_a_file_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        load_text(tmp_path, text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_params(tmp_path / "params.yaml")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
@pytest.mark.fault("params", tried=100)
def test_any_wrong_value_anywhere_is_a_user_error_or_valid(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = YAML(typ="safe").load(TEXT)
    path = data.draw(st.sampled_from(leaves(content)))
    wrong = data.draw(
        st.one_of(
            st.none(),
            st.text(max_size=5),
            st.booleans(),
            st.integers(-(2**70), 2**70),
            st.floats(),
            st.lists(st.integers(-5, 5), max_size=3),
            st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
        )
    )
    section = content
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = wrong
    file = tmp_path_factory.mktemp("params") / "params.yaml"
    YAML(typ="safe", pure=True).dump(content, file)
    try:
        params = load_params(file)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert variants(params)
