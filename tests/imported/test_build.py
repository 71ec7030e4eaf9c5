"""Nets of the user's begin with the seed's weights, and tricks replace their layers by class."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.recipes import CPU
from torch import nn

from cifar_tricks.imported.check import left_out
from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.training.call import Call
from cifar_tricks.training.nets import build_net

LEAKY = Call("torch.nn.LeakyReLU", {"negative_slope": 0.1})
SLOTS = {
    "activation": LEAKY,
    "norm_2d": Call("torch.nn.BatchNorm2d"),
    "dropout": Call("torch.nn.Dropout2d", {"p": 0.25}),
    "weight_init": Call("torch.nn.init.kaiming_normal_", {"nonlinearity": "relu"}),
}
TIMM = ImportedSpec(
    target="timm.create_model",
    arguments={"model_name": "resnet10t", "num_classes": 10},
    source="timm",
)


@pytest.fixture
def tiny(own_nets: Path) -> ImportedSpec:
    """The example of docs/your-net.md."""
    return ImportedSpec(target="my_nets.TinyNet", arguments={"width": 8}, source="sha256:0")


def make(spec: ImportedSpec, seed: int = 0) -> nn.Module:
    return build_net(spec, seed=seed, device=CPU)


def layers(net: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, kinds)]


def same(first: nn.Module, second: nn.Module, names: set[str] | None = None) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    shared = names or ours.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in shared)


def test_weights_follow_from_the_seed_and_from_nothing_else(tiny: ImportedSpec) -> None:
    for spec in (tiny, TIMM):
        first = make(spec)
        state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
        torch.randn(3)
        second = make(spec)
        torch.set_rng_state(state[0])
        assert same(first, second)
        assert not same(first, make(spec, seed=1))
        # What other code draws is not touched.
        assert torch.equal(torch.get_rng_state(), state[0])
        assert (random.getstate(), np.random.get_state()[1].tolist()) == state[1:]  # type: ignore[union-attr]


def test_layers_are_replaced_by_their_class(tiny: ImportedSpec) -> None:
    plain = make(tiny)
    leaky = make(replace(tiny, activation=LEAKY))
    assert len(layers(leaky, nn.LeakyReLU)) == len(layers(plain, nn.ReLU)) == 2
    assert not layers(leaky, nn.ReLU) and same(plain, leaky)
    batch_norm = make(replace(tiny, norm_2d=SLOTS["norm_2d"]))
    assert [norm.num_features for norm in layers(batch_norm, nn.BatchNorm2d)] == [8, 16]  # type: ignore[union-attr]
    assert not layers(batch_norm, nn.GroupNorm)
    assert same(plain, batch_norm, {"features.0.weight", "head.bias"})
    dropout = make(replace(tiny, dropout=SLOTS["dropout"]))
    assert [type(layer) for layer in layers(dropout, nn.Dropout, nn.Dropout2d)] == [nn.Dropout2d]
    kaiming = make(replace(tiny, weight_init=SLOTS["weight_init"]))
    assert kaiming.features[4].weight.std().item() == pytest.approx(math.sqrt(2 / 72), rel=0.1)  # type: ignore[union-attr,index]
    assert same(plain, kaiming, {"features.0.bias", "features.1.weight"})
    resnet = make(replace(TIMM, activation=LEAKY))
    assert len(layers(resnet, nn.LeakyReLU)) >= 9 and not layers(resnet, nn.ReLU)


def test_logits_are_scaled(tiny: ImportedSpec) -> None:
    images, plain, scaled = (
        torch.randn(2, 3, 32, 32),
        make(tiny),
        make(replace(tiny, logit_scale=0.5)),
    )
    assert torch.equal(scaled.eval()(images), 0.5 * plain.eval()(images))


def test_a_layer_in_two_places_stays_one(tiny: ImportedSpec) -> None:
    text = Path("my_nets.py").read_text()
    text = text.replace("(self, width", "(self, relu=nn.ReLU(), width")
    Path("my_nets.py").write_text(text.replace("            nn.ReLU(),", "            relu,"))
    net = make(replace(tiny, activation=Call("torch.nn.PReLU")))
    assert net.features[2] is net.features[6]  # type: ignore[index]
    assert len(layers(net, nn.PReLU)) == 1


def test_what_a_net_lacks_is_told(tiny: ImportedSpec) -> None:
    def told(spec: ImportedSpec, **slots: object) -> str:
        return left_out(replace(spec, **slots), precision="bf16")  # type: ignore[arg-type]

    assert [name for name, slot in SLOTS.items() if told(tiny, **{name: slot})] == []
    lacking = {name: told(TIMM, **{name: slot}) for name, slot in SLOTS.items()}
    assert lacking == {
        "activation": "",
        "norm_2d": "the net has no norm layer of another kind to replace",
        "dropout": "the net has no dropout layer to replace",
        "weight_init": "",
    }
    assert told(TIMM, unfit=("whitening",)).startswith("whitening: only for nets")
    # A replacement that does not fit leaves the pair out, not the net.
    assert "with the new layers, for images" in told(
        tiny, activation=Call("torch.nn.Linear", {"in_features": 3, "out_features": 3})
    )
