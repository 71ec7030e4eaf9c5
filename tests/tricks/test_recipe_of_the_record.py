"""The tricks of ``improve.record`` beside the first convolution: each does what its source says."""

import json
import math
from dataclasses import replace

import pytest
import torch
from helpers.project import ROOT
from helpers.recipes import CPU, make_recipe, train_all
from torch.nn import functional as F

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.evaluation import classifier
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.augmentation import mirror
from cifar_tricks.training.call import as_json
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.nets import build_net, load_weights, num_parameters
from cifar_tricks.training.optimizers import SlowWeights, set_learning_rates
from cifar_tricks.training.predicting import predict
from cifar_tricks.training.randomness import EpochOrder
from cifar_tricks.training.recipe import NetSpec
from cifar_tricks.tricks import load_trick
from cifar_tricks.tricks.alternating_flip import alternate
from cifar_tricks.tricks.cutout import GREY, cover
from cifar_tricks.tricks.dirac import partial_identity
from cifar_tricks.tricks.lookahead import share
from cifar_tricks.tricks.test_time_augmentation import views
from cifar_tricks.tricks.translate import move


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 32, 32), generator=generator(5), dtype=torch.uint8)


def test_an_image_is_flipped_in_every_second_epoch() -> None:
    places = torch.arange(1000)
    epochs = [alternate(epoch, places, 1000, seed=3) for epoch in range(4)]
    assert torch.equal(epochs[0], epochs[2]) and torch.equal(epochs[1], epochs[3])
    assert torch.equal(epochs[0], ~epochs[1])
    assert 400 < epochs[0].sum() < 600
    assert not torch.equal(epochs[0], alternate(0, places, 1000, seed=4))


def test_each_image_keeps_its_turn_whatever_the_order_of_an_epoch() -> None:
    rows = torch.arange(100, 148)
    order = EpochOrder(rows, steps=4, batch_size=12, mirror=alternate, seed=1)
    seen: list[dict[int, bool]] = []
    for epoch in range(3):
        order.go_to(epoch, 0)
        batches = [order.next_batch() for _ in range(4)]
        seen.append(
            {
                int(row): bool(flipped)
                for found, chosen in batches
                for row, flipped in zip(found, chosen, strict=True)  # type: ignore[arg-type]
            }
        )
    assert len(seen[0]) == 48 and seen[0] == seen[2]
    assert seen[1] == {row: not flipped for row, flipped in seen[0].items()}
    # A training that is taken up in the middle of an epoch finds the same.
    order = EpochOrder(rows, steps=4, batch_size=12, mirror=alternate, seed=1)
    order.go_to(2, 3)
    for found, expected in zip(order.next_batch(), batches[3], strict=True):
        assert torch.equal(found, expected)  # type: ignore[arg-type]


def test_only_chosen_images_are_flipped() -> None:
    batch = images(4)
    flipped = mirror(batch, torch.tensor([True, False, True, False]))
    assert torch.equal(flipped[1::2], batch[1::2])
    assert torch.equal(flipped[::2], batch[::2].flip(3))


@pytest.mark.parametrize("pixels", [1, 2, 31])
def test_a_moved_image_is_a_window_of_the_reflected_one(pixels: int) -> None:
    batch = images(40)
    moved, labels = move(batch, torch.arange(40), pixels=pixels, generator=generator())
    assert torch.equal(labels, torch.arange(40))
    padded = F.pad(batch.float(), (pixels,) * 4, mode="reflect").to(torch.uint8)
    windows = padded.unfold(2, 32, 1).unfold(3, 32, 1)
    places = (windows == moved[:, :, None, None]).all(-1).all(-1).all(1)
    assert places.flatten(1).any(1).all()
    if pixels == 1:
        assert places.flatten(1).any(0).all()  # of nine places, each comes up


@pytest.mark.parametrize("size", [1, 8, 32])
def test_cutout_covers_a_square_of_each_image(size: int) -> None:
    batch = images(200).masked_fill(images(200) == GREY, 0)
    covered, _ = cover(batch, torch.zeros(200), size=size, generator=generator())
    changed = (covered != batch).any(1)
    assert (covered[(covered != batch)] == GREY).all()
    areas = changed.sum((1, 2))
    assert areas.max() == size**2 if size < 32 else areas.max() <= size**2
    assert areas.min() >= (size // 2) ** 2 and (size == 1 or areas.min() < size**2)
    for one in changed:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns)  # a rectangle


def test_the_slow_weights_are_those_of_the_source() -> None:
    """Beside a loop in plain numbers."""
    layer, total, every, decay = torch.nn.Linear(1, 1, bias=False), 23, 5, 0.9
    slow = SlowWeights(layer, lambda done, total: share(done, total, every=every, decay=decay))
    fast_number = slow_number = layer.weight.item()
    for step in range(1, total + 1):
        with torch.no_grad():
            layer.weight += 0.1
        fast_number += 0.1
        slow.after_step(step, total)
        if step == total:
            fast_number = slow_number
        elif step % every == 0:
            slow_number += (1 - decay**every * (step / total) ** 3) * (fast_number - slow_number)
            fast_number = slow_number
        assert layer.weight.item() == pytest.approx(fast_number, abs=1e-5)


def test_averaging_changes_a_training_and_its_last_weights_are_the_slow_ones(
    arrays: Arrays,
) -> None:
    recipe = make_recipe(early_stop_count=None)
    averaged = load_trick("lookahead")(every=5, decay=0.95).apply(recipe)
    plain, slow = (train_all(each, arrays, (0,))[0] for each in (recipe, averaged))
    assert plain.progress != slow.progress
    still = load_trick("lookahead")(every=1_000_000).apply(recipe)
    first = build_net(recipe.net, seed=0, device=CPU).state_dict()
    # Never averaged but at the end: what was there at the start.
    for name, value in train_all(still, arrays, (0,))[0].weights.items():
        assert torch.equal(value, first[name])


@pytest.mark.parametrize("pixels", [0, 1, 5])
def test_the_views_of_an_image(pixels: int) -> None:
    batch = images(3).float()
    found = views(batch, pixels=pixels)
    assert math.isclose(sum(weight for weight, _ in found), 1)
    assert len(found) == (6 if pixels else 2)
    assert torch.equal(found[0][1], batch) and torch.equal(found[1][1], batch.flip(3))
    assert sum(weight for weight, _ in found[:2]) == (0.5 if pixels else 1)
    if pixels:
        (_, first), (_, mirrored), (_, last), _ = found[2:]
        assert torch.equal(first[:, :, pixels:, pixels:], batch[:, :, :-pixels, :-pixels])
        assert torch.equal(last[:, :, :-pixels, :-pixels], batch[:, :, pixels:, pixels:])
        assert torch.equal(mirrored, first.flip(3))


def test_asking_in_views_is_the_mean_of_asking_each(arrays: Arrays) -> None:
    recipe = load_trick("test_time_augmentation")(pixels=1).apply(make_recipe())
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU)
    normaliser = data.normalisation.to(CPU)
    net = load_weights(recipe.net, build_net(recipe.net, seed=0, device=CPU).state_dict(), CPU)
    answer = predict(net, data.validation, normaliser, precision="fp32", views=recipe.views)
    batch = normaliser(data.validation.batch(data.validation.rows)[0])
    with torch.no_grad():
        expected = sum(weight * net(view) for weight, view in views(batch, pixels=1))
    assert torch.allclose(answer, expected, atol=1e-5)


def test_nothing_of_a_training_depends_on_the_views(arrays: Arrays) -> None:
    recipe = make_recipe(num_epochs=1)
    seen = load_trick("test_time_augmentation")().apply(recipe)
    plain, other = (train_all(each, arrays, (0,))[0] for each in (recipe, seen))
    assert plain.progress == other.progress and plain.validation == other.validation


def test_convolutions_start_by_passing_their_input_through() -> None:
    weight = torch.empty(16, 8, 3, 3)
    partial_identity(weight, generator=generator())
    maps = torch.randn(2, 8, 6, 6, generator=generator())
    assert torch.equal(F.conv2d(maps, weight, padding=1)[:, :8], maps)
    assert weight[8:].abs().max() <= (8 * 9) ** -0.5 and weight[8:].std() > 0
    linear = torch.empty(4, 4)
    partial_identity(linear, generator=generator())
    assert not torch.equal(linear, torch.eye(4))


def test_biases_and_norms_have_a_rate_and_a_decay_of_their_own() -> None:
    recipe = make_recipe()
    for name, numbers in {
        "batch_norm": {},
        "momentum": {"learning_rate": 0.5, "weight_decay": 0.01},
        "bias_rate": {"factor": 8.0},
    }.items():
        recipe = load_trick(name)(**numbers).apply(recipe)  # type: ignore[arg-type]
    net = build_net(recipe.net, seed=0, device=CPU)
    optimizer = recipe.optimizer(net.parameters())
    others, vectors = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD) and others["momentum"] == vectors["momentum"]
    assert (others["lr"], vectors["lr"]) == (0.5, 4.0)
    assert others["lr"] * others["weight_decay"] == vectors["lr"] * vectors["weight_decay"]
    names = {id(value): name for name, value in net.named_parameters()}
    in_vectors = {names[id(value)] for value in vectors["params"]}
    assert in_vectors == {name for name in names.values() if "norm" in name or "bias" in name}
    set_learning_rates(optimizer, [0.5 / 2, 4.0 / 2])
    assert vectors["lr"] == 2.0


def test_a_shifting_norm_has_no_scale_and_its_convolution_no_bias() -> None:
    recipe = load_trick("batch_norm_shift")(momentum=0.4).apply(make_recipe())
    net = build_net(recipe.net, seed=0, device=CPU)
    trained = {name for name, value in net.named_parameters() if value.requires_grad}
    assert {name for name in trained if "blocks.0" in name} == {
        "blocks.0.conv.weight",
        "blocks.0.norm.bias",
    }
    assert net.get_submodule("blocks.0.norm").momentum == 0.4
    assert net.get_submodule("hidden.0.norm").momentum == 0.4


def test_pooling_and_scale() -> None:
    recipe = make_recipe()
    plain = build_net(recipe.net, seed=0, device=CPU)
    for name in ("global_pooling", "early_pooling", "gelu", "batch_norm_shift"):
        recipe = load_trick(name)().apply(recipe)
    net = build_net(recipe.net, seed=0, device=CPU)
    order = [name for name, _ in net.get_submodule("blocks.0").named_children()]
    assert order == ["conv", "pool", "norm", "activation"]
    assert net.head.in_features == plain.head.in_features == 16  # a hidden layer before it
    assert net.get_submodule("hidden.0.linear").in_features == 8
    assert num_parameters(net) < num_parameters(plain)
    batch = torch.randn(4, 3, 32, 32, generator=generator())
    scaled = load_trick("output_scale")(factor=0.25).apply(make_recipe())
    small = build_net(scaled.net, seed=0, device=CPU)
    assert torch.allclose(small(batch), 0.25 * plain(batch))


def test_fields_that_came_later_stand_only_in_recipes_that_use_them() -> None:
    recipe = make_recipe()
    written = as_json(recipe)
    assert not {"mirror", "slow_weights", "views"} & written.keys()
    assert (
        not {"stem", "pool_early", "pool_all", "logit_scale", "conv_bias"} & written["net"].keys()
    )
    used = load_trick("whitening")().apply(load_trick("lookahead")().apply(recipe))
    changed = as_json(used)
    assert changed["net"]["stem"] == 2
    assert changed["slow_weights"]["arguments"] == {"every": 5, "decay": 0.95}


NETS = {
    key: variant.recipe.net
    for key, variant in variants(load_params(ROOT / "params.yaml"), "full", ablation=True).items()
    if isinstance(variant.recipe.net, NetSpec) and "kaiming" not in key
}


@pytest.mark.parametrize("key", NETS)
def test_a_net_is_the_same_after_it_was_written_down(key: str) -> None:
    written = json.loads(json.dumps(as_json(NETS[key])))
    spec = classifier._spec(written)
    assert replace(spec, weight_init=NETS[key].weight_init) == NETS[key]


def test_a_description_of_a_net_has_values_of_the_right_kind() -> None:
    written = json.loads(json.dumps(as_json(NETS["improve-record"])))
    for name, wrong in {"stem": "2", "pool_early": 3, "logit_scale": 1e9}.items():
        with pytest.raises(ValueError, match=rf"net\.{name}"):
            classifier._spec({**written, name: wrong})
