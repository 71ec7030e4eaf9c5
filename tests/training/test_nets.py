"""The nets have the report's shapes, and their initial weights are paired across variants."""

from dataclasses import replace

import pytest
import torch
from helpers.project import ROOT
from helpers.recipes import CPU, make_recipe
from torch import nn

from cifar_tricks.exercises.net_layers import net_layers
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.call import Call
from cifar_tricks.training.nets import build_net, is_monotonic, load_weights, num_parameters
from cifar_tricks.training.recipe import NetSpec

VARIANTS = variants(load_params(ROOT / "params.yaml"), "full")


@pytest.mark.parametrize(
    ("key", "parameters"),
    # Printed by the report (task 1 g for the reference net), or counted by hand.
    [
        ("reference-baseline", 390_410),
        ("model1-baseline", 276_042),
        ("model2-baseline", 297_386),
        ("model1-batch_norm", 276_042 + 2 * (64 * 3 + 64)),
    ],
)
def test_number_of_parameters(key: str, parameters: int) -> None:
    assert num_parameters(build_net(VARIANTS[key].recipe.net, seed=0, device=CPU)) == parameters


@pytest.mark.parametrize("key", VARIANTS)
def test_every_variant_maps_images_to_logits(key: str) -> None:
    net = build_net(VARIANTS[key].recipe.net, seed=0, device=CPU)
    assert net(torch.randn(4, 3, 32, 32)).shape == (4, 10)


def is_shared(name: str, net: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """A bias is drawn within a bound that its layer's weight sets, so both must agree in shape."""
    names = (name, name.replace("bias", "weight"))
    return all(n in other and net[n].shape == other[n].shape for n in names)


OF_OUR_OWN = [key for key in VARIANTS if not key.startswith("transfer-")]


@pytest.mark.parametrize("key", [key for key in OF_OUR_OWN if "kaiming" not in key])
def test_initial_weights_are_shared_where_names_and_shapes_agree(key: str) -> None:
    own = VARIANTS[f"{VARIANTS[key].model}-baseline"].recipe.net
    baseline = build_net(own, seed=3, device=CPU).state_dict()
    other = build_net(VARIANTS[key].recipe.net, seed=3, device=CPU).state_dict()
    shared = [name for name in other if is_shared(name, other, baseline)]
    # Another kernel in every layer, and another number of hidden ones.
    assert shared or key in ("improve-further", "improve-record")
    for name in shared:
        assert torch.equal(other[name], baseline[name])


def test_the_heads_of_both_nets_start_alike() -> None:
    first, second = (
        build_net(VARIANTS[f"{model}-baseline"].recipe.net, seed=3, device=CPU).state_dict()
        for model in ("model1", "model2")
    )
    assert torch.equal(first["head.weight"], second["head.weight"])


def test_default_initial_weights_have_the_distribution_of_pytorch() -> None:
    ours = build_net(VARIANTS["model1-baseline"].recipe.net, seed=0, device=CPU)
    for module in ours.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            for values in (module.weight, module.bias):
                assert values.abs().max() <= bound
            # A uniform distribution on +-bound has the standard deviation bound / sqrt(3).
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_kaiming_normal_has_the_variance_of_he_et_al() -> None:
    net = build_net(VARIANTS["model1-kaiming_normal"].recipe.net, seed=0, device=CPU)
    convolution = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    assert convolution.weight.std().item() == pytest.approx((2 / 75) ** 0.5, rel=0.05)


def test_another_seed_gives_other_weights() -> None:
    spec = VARIANTS["model1-baseline"].recipe.net
    first, second = (build_net(spec, seed=seed, device=CPU).state_dict() for seed in (0, 1))
    assert all(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_pooling_before_a_monotonic_activation_is_the_same_function(slope: float) -> None:
    images = torch.randn(8, 4, 8, 8)
    activation, pooling = nn.LeakyReLU(slope), nn.MaxPool2d(2)
    assert torch.equal(activation(pooling(images)), pooling(activation(images)))


def test_an_activation_that_may_decrease_runs_before_pooling() -> None:
    spec = make_recipe().net
    for call, first in [
        (Call("torch.nn.SiLU"), "activation"),
        (Call("torch.nn.LeakyReLU", {"negative_slope": -0.1}), "activation"),
        (Call("torch.nn.ReLU"), "pool"),
    ]:
        assert is_monotonic(call) == (first == "pool")
        names = [
            n
            for n, _ in build_net(replace(spec, activation=call), seed=0, device=CPU)
            .blocks[0]
            .named_children()
        ]
        assert names.index(first) < names.index("activation" if first == "pool" else "pool")


def test_weights_of_another_net_are_refused() -> None:
    weights = build_net(VARIANTS["model1-baseline"].recipe.net, seed=0, device=CPU).state_dict()
    with pytest.raises(RuntimeError):
        load_weights(VARIANTS["model2-baseline"].recipe.net, weights, CPU)


def test_pooling_after_every_second_convolution() -> None:
    spec = NetSpec(
        filters=(4, 4, 8, 8, 8), kernel_size=3, stride=1, padding=1, pool=2, pool_every=2, hidden=()
    )
    assert spec.feature_map_sizes() == (32, 16, 16, 8, 8)
    net = build_net(spec, seed=0, device=CPU)
    assert ["pool" in dict(block.named_children()) for block in net.blocks] == [  # type: ignore[union-attr]
        False,
        True,
        False,
        True,
        False,
    ]
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    layers = net_layers(spec)
    assert sum(layer.parameters for layer in layers) == num_parameters(net)
    assert [layer.output[-1] for layer in layers if layer.kind == "pooling"] == [16, 8]
