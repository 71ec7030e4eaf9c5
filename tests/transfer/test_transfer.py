"""Nets from ImageNet: what is frozen, that a cache changes nothing, exact resumption."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from helpers.recipes import CPU
from helpers.synthetic_images import make_images
from torch.nn import functional as F

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import Interrupted, UserError
from cifar_tricks.training.backbones import BACKBONES
from cifar_tricks.training.call import Call
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import Images, make_training_data
from cifar_tricks.training.loop import Fitted, Task, fit
from cifar_tricks.training.nets import build_net, load_weights, num_parameters
from cifar_tricks.training.predicting import predict
from cifar_tricks.training.recipe import BackboneSpec, TransferRecipe
from cifar_tricks.transfer import frozen_features
from cifar_tricks.transfer.features import CHUNK, Features
from cifar_tricks.transfer.net import TransferNet

SPECS = {name: BackboneSpec(backbone=name, image_size=64) for name in BACKBONES}
EVERYTHING = 1.0
# Features of 256 x 2 x 2 values in float32: 40 of the 64 images of a run.
SOME = 40 * 256 * 2 * 2 * 4 / 1e9


def make_recipe(*, cache_gb: float = EVERYTHING, **changes: object) -> TransferRecipe:
    """ResNet-18 on images of 32 pixels, for moments."""
    values: dict[str, object] = {
        "net": BackboneSpec(backbone="resnet18", image_size=32),
        "optimizer": Call("torch.optim.Adam", {"lr": 5e-4}),
        "features": Call("cifar_tricks.features.frozen_features", {"cache_gb": cache_gb}),
        "normalisation": ((120.0, 115.0, 105.0), (60.0, 58.0, 57.0)),
        "batch_size": 16,
        "num_epochs": 2,
        "validations_per_epoch": 2,
        "early_stop_count": 4,
        "train_images": 48,
        "validation_images": 16,
        "precision": "fp32",
        "threads": 1,
    }
    return TransferRecipe(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """A ResNet-18's, with its 1,000 classes; random, but for running statistics that differ from
    those of a batch, as ImageNet's do."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return {name: value.numpy() for name, value in net.state_dict().items()}


def train(
    recipe: TransferRecipe,
    arrays: Arrays,
    weights: dict[str, np.ndarray],
    *,
    checkpoint: Checkpoint | None = None,
    **arguments: object,
) -> Fitted:
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU, backbone=weights)
    task = Task(seed=0, data=data, checkpoint=checkpoint)
    return next(fit(recipe, [task], device=CPU, **arguments))[1]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BACKBONES)
def test_trunk_and_tail_together_are_the_backbone(name: str) -> None:
    net = build_net(SPECS[name], seed=0, device=CPU).eval()
    whole = BACKBONES[name].net().eval()
    own = net.state_dict()
    head = BACKBONES[name].head
    setattr(whole, head, torch.nn.Linear(getattr(whole, head).in_features, 10))
    whole.load_state_dict(own)  # the same names: anyone can load what was trained
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    enlarged = F.interpolate(images, (64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(net(images), whole(enlarged))


@pytest.mark.parametrize("name", BACKBONES)
def test_only_what_comes_behind_the_cut_has_a_gradient(name: str) -> None:
    net = build_net(SPECS[name], seed=0, device=CPU)
    backbone = BACKBONES[name]
    trained = {key for key, value in net.named_parameters() if value.requires_grad}
    behind = (*backbone.tail, backbone.head)
    assert trained == {
        key for key, _ in net.named_parameters() if key.startswith(tuple(f"{n}." for n in behind))
    }
    if name == "resnet18":  # layer4 and fc, as in the original report
        layer4 = sum(value.numel() for value in torchvision.models.resnet18().layer4.parameters())
        assert num_parameters(net) == layer4 + 512 * 10 + 10


def test_training_leaves_the_trunk_as_it_was(
    arrays: Arrays, weights: dict[str, np.ndarray]
) -> None:
    fitted = train(make_recipe(num_epochs=1), arrays, weights)
    for name, value in fitted.weights.items():
        if name.startswith("fc."):
            continue
        same = np.array_equal(value.numpy(), weights[name])
        # Running statistics and counters of the trunk's batch norms among them.
        assert same == (not name.startswith("layer4.")), name


def test_the_seed_decides_about_the_new_layer_only(weights: dict[str, np.ndarray]) -> None:
    spec = make_recipe().net
    states = [
        build_net(spec, seed=seed, device=CPU, backbone=weights).state_dict() for seed in (0, 0, 1)
    ]
    differing = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert differing == {"fc.weight", "fc.bias"}
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_caching_and_recomputing_agree_within_rounding(
    arrays: Arrays, weights: dict[str, np.ndarray], precision: str
) -> None:
    recipe = make_recipe(precision=precision)
    losses = []
    for cache_gb in (EVERYTHING, SOME, 0.0):
        call = Call("cifar_tricks.features.frozen_features", {"cache_gb": cache_gb})
        fitted = train(replace(recipe, features=call), arrays, weights)
        losses.append(torch.tensor([row.loss for row in fitted.progress.history]))
    direct = train(replace(recipe, features=None), arrays, weights)
    losses.append(torch.tensor([row.loss for row in direct.progress.history]))
    tolerance = 1e-4 if precision == "fp32" else 0.05
    for other in losses[1:]:
        torch.testing.assert_close(losses[0], other, rtol=tolerance, atol=tolerance)


def test_a_partial_cache_gives_each_image_its_own_features(arrays: Arrays) -> None:
    images = Images.from_arrays(arrays, torch.arange(50), CPU)
    seen: list[int] = []

    def compute(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return batch[:, :, ::8, ::8].float()

    parts = {kept: Features(images, compute, num_kept=kept) for kept in (0, 33, 50)}
    for kept, part in parts.items():
        assert list(part.fill())[-1:] == ([kept] if kept else [])
        seen.clear()
        rows = torch.tensor([49, 0, 40, 32, 33, 0])
        values, labels = part.batch(rows)
        torch.testing.assert_close(values, compute(images.batch(rows)[0]))
        assert torch.equal(labels, images.labels[rows])
        assert values.is_contiguous(memory_format=torch.channels_last)
        assert seen[:-1] == {0: [6], 33: [3], 50: []}[kept]  # the last call is this test's own
        assert len(part) == 50


def test_no_more_images_than_fit_are_kept(arrays: Arrays, weights: dict[str, np.ndarray]) -> None:
    recipe = make_recipe(cache_gb=SOME)
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU, backbone=weights)
    net = build_net(recipe.net, seed=0, device=CPU, backbone=weights)
    arguments = (net, data, data.normalisation.to(CPU))
    _, cached, _ = frozen_features.frozen_features(
        *arguments,  # type: ignore[arg-type]
        precision="fp32",
        cache_gb=SOME,
    )
    assert list(cached.prepare())[-1] == (40, 40)
    assert isinstance(cached.train, frozen_features.Features)
    assert isinstance(cached.validation, frozen_features.Features)
    kept = cached.train.kept.nbytes + cached.validation.kept.nbytes
    assert cached.validation.num_kept == 16 and kept <= SOME * 1e9


def test_a_cache_that_does_not_fit_is_refused_in_one_line(
    arrays: Arrays, weights: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        frozen_features.psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000)
    )
    with pytest.raises(
        UserError, match=r"^transfer.cache_gb = 1: .* GB of memory are free"
    ) as told:
        train(make_recipe(), arrays, weights)
    assert "\n" not in str(told.value)
    train(make_recipe(cache_gb=0.0, num_epochs=1), arrays, weights)


@pytest.fixture(scope="module")
def whole(weights: dict[str, np.ndarray]) -> Fitted:
    """A training that nothing interrupted."""
    return train(make_recipe(), make_images(300), weights)


def stop_after(count: int) -> Callable[[], bool]:
    asked = iter(range(10_000))
    return lambda: next(asked) >= count - 1


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8])
def test_an_interrupted_training_ends_with_the_same_bytes(
    arrays: Arrays, weights: dict[str, np.ndarray], whole: Fitted, tmp_path: Path, stop: int
) -> None:
    # Three pieces of preparation (16 validation images, then 48 in two), then six steps.
    checkpoint = Checkpoint(path=tmp_path / "state.safetensors")
    with pytest.raises(Interrupted):
        train(make_recipe(), arrays, weights, checkpoint=checkpoint, should_stop=stop_after(stop))
    assert checkpoint.path.exists() == (stop > 3)
    resumed = train(make_recipe(), arrays, weights, checkpoint=checkpoint)
    assert resumed.progress == whole.progress
    assert all(torch.equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)


def test_the_kept_weights_score_as_they_did_in_training(arrays: Arrays, whole: Fitted) -> None:
    recipe = make_recipe()
    net = load_weights(recipe.net, whole.weights, CPU)
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU)
    logits = predict(net, data.validation, data.normalisation.to(CPU), precision="fp32")
    accuracy = (logits.argmax(1) == data.validation.labels).double().mean().item()
    assert accuracy == whole.validation[1]


def test_depthwise_convolutions_train_in_float32_under_bf16() -> None:
    net = build_net(SPECS["efficientnet_lite0"], seed=0, device=CPU)
    seen: dict[str, torch.dtype] = {}

    def note(name: str, output: torch.Tensor) -> None:
        seen[name] = output.dtype

    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1:
            module.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(torch.rand(2, 3, 32, 32))
    tail = {name for name in seen if name.startswith(("blocks.5", "blocks.6"))}
    assert tail and tail < set(seen)
    assert {name for name, dtype in seen.items() if dtype == torch.float32} == tail


def train_sharing(
    arrays: Arrays, weights: dict[str, np.ndarray], seeds: tuple[int, ...], **changes: object
) -> dict[int, Fitted]:
    """Seeds side by side that look at one file, as on a GPU."""
    recipe = make_recipe(**changes)
    file = replace(arrays)  # a file of its own: what was computed of another is not there
    tasks = [
        Task(
            seed=seed,
            data=make_training_data(
                file, None, recipe, seed=seed, device=CPU, backbone=weights, shared=True
            ),
        )
        for seed in seeds
    ]
    return {task.seed: fitted for task, fitted in fit(recipe, tasks, device=CPU)}


@pytest.mark.parametrize("cache_gb", [EVERYTHING, SOME])
def test_seeds_that_share_features_end_with_the_bytes_of_each_alone(
    weights: dict[str, np.ndarray], cache_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = make_images(90)  # of which a run takes 64
    together = train_sharing(arrays, weights, (0, 1), cache_gb=cache_gb)
    for seed, fitted in together.items():
        alone = train_sharing(arrays, weights, (seed,), cache_gb=cache_gb)[seed]
        assert fitted.progress == alone.progress
        for name, value in fitted.weights.items():
            assert torch.equal(value, alone.weights[name])
    of_its_own = train(make_recipe(cache_gb=cache_gb), arrays, weights)
    losses = [row.loss for row in of_its_own.progress.history]
    assert [row.loss for row in together[0].progress.history] == pytest.approx(losses, rel=2e-3)


def test_features_are_computed_once_for_all_seeds(
    weights: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    compute = TransferNet.features

    def counted(self: TransferNet, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return compute(self, images)

    monkeypatch.setattr(TransferNet, "features", counted)
    train_sharing(make_images(90), weights, (0, 1, 2), num_epochs=1)
    # Three seeds take 64 each; one image of each tells the size, the last chunks are filled up.
    assert sum(seen) - 3 <= 90 + 3 * CHUNK and max(seen) == CHUNK
