"""Activations and Grad-CAM against values computed another way."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from cifar_tricks.base.errors import UserError
from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.figures.activations import IMAGENET, SHOWN, view_example, view_photo
from cifar_tricks.figures.grad_cam import attribute, grad_cam, split_net
from cifar_tricks.figures.layers import check_layers, layer_outputs
from cifar_tricks.figures.pictures import ImageNetView, make_views
from cifar_tricks.figures.views import Examples, Views
from cifar_tricks.training.backbones import BACKBONES
from cifar_tricks.training.call import Call
from cifar_tricks.training.nets import ConvNet
from cifar_tricks.training.normalisation import Normalisation
from cifar_tricks.training.recipe import NetSpec

CPU = torch.device("cpu")
NORMALISATION = Normalisation(mean=(125.0, 123.0, 114.0), std=(63.0, 62.0, 67.0))


@dataclass(frozen=True, kw_only=True)
class Section:
    first: str = "conv1"
    filters: tuple[int, ...] = (14, 26, 32, 49, 52)
    last: str = "layer4"
    channels: tuple[int, ...] = tuple(range(10))


LAYERS = {
    "resnet18": Section(),
    "efficientnet_lite0": Section(first="conv_stem", filters=(7, 12, 15, 21, 23), last="bn2"),
}
# That of ResNet is followed by an activation function that works in place.
OTHER_LAYERS = {"resnet18": "bn1", "efficientnet_lite0": "blocks.6.0.bn3"}


def make_net(**slots: object) -> ConvNet:
    spec = {"filters": (6, 9), "kernel_size": 5, "stride": 1, "padding": 2, "pool": 2}
    torch.manual_seed(0)
    net = ConvNet(NetSpec(**{**spec, "hidden": (16,), **slots}), seed=1)  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 2)
    return net.eval()


NETS = {
    "plain": make_net(),
    "no hidden layer": make_net(hidden=()),
    "batch norm": make_net(
        norm_2d=Call("torch.nn.BatchNorm2d"), activation=Call("torch.nn.LeakyReLU")
    ),
    "without pooling": make_net(kernel_size=4, stride=2, padding=1, pool=None),
    "activation first": make_net(activation=Call("torch.nn.GELU")),
    "stem and early pooling": make_net(
        stem=2,
        pool_early=True,
        pool_all=True,
        conv_bias=False,
        logit_scale=0.1,
        norm_2d=Call("torch.nn.BatchNorm2d"),
        activation=Call("torch.nn.GELU"),
    ),
    "dropout": make_net(dropout=Call("torch.nn.Dropout2d", {"p": 0.5})),
}


def make_examples(count: int = 6) -> Examples:
    numbers = np.random.default_rng(0)
    return Examples(
        title="CIFAR-10",
        class_names=CIFAR10.class_names,
        images=numbers.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        labels=np.arange(count) % 10,
        predicted=np.arange(count) % 3,
        index=np.arange(count) * 7,
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture(scope="module", params=list(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    torch.manual_seed(0)
    return request.param, BACKBONES[request.param].net().eval()


def hooked(net: nn.Module, name: str, images: Tensor) -> Tensor:
    """What a module returns, recorded as it runs."""
    found: list[Tensor] = []
    module = net.get_submodule(name)
    # A copy: what follows may work in place.
    hook = module.register_forward_hook(lambda *call: found.append(call[2].clone()))
    with torch.no_grad():
        net(images)
    hook.remove()
    return found[0]


def test_outputs_are_what_the_modules_return(backbone: tuple[str, nn.Module]) -> None:
    name, net = backbone
    images = torch.randn(2, 3, 224, 224)
    names = [LAYERS[name].first, LAYERS[name].last, OTHER_LAYERS[name]]
    outputs = layer_outputs(net, images, names)
    assert not net.training
    for layer in names:
        assert torch.equal(outputs[layer], hooked(net, layer, images))


def test_view_of_a_photo(backbone: tuple[str, nn.Module], photo: Path) -> None:
    name, net = backbone
    layers = LAYERS[name]
    view = view_photo(net, name, layers, photo, "noise")
    pixels = np.array(Image.open(photo))
    images = IMAGENET.to(CPU)(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    by_hand = (torch.from_numpy(pixels / 255) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    assert torch.allclose(images[0].permute(1, 2, 0).double(), by_hand, atol=1e-5)
    count = {"resnet18": 64, "efficientnet_lite0": 32}[name]
    assert view.weights.shape[:2] == (count, 3)
    assert view.first_maps.shape == (5, 112, 112) and view.last_maps.shape == (10, 7, 7)
    assert view.last_channels == {"resnet18": 512, "efficientnet_lite0": 1280}[name]
    first = hooked(net, layers.first, images)[0, list(layers.filters)]
    assert np.array_equal(view.first_maps, first.numpy())
    probability = net(images).detach().softmax(1).max()
    assert view.probability == pytest.approx(float(probability), rel=1e-5)
    assert view.answer and (view.pixels == pixels).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"first": "conv2"}, "first = conv2: no such layer; did you mean conv1"),
        ({"first": "bn1"}, "first = bn1: sees no colour image; valid: conv1"),
        ({"first": "layer1.0.conv1"}, "valid: conv1"),
        ({"first": ""}, "first = : no such layer"),
        ({"filters": (3, 64)}, "filters = 64: conv1 has 64; valid: 0 to 63"),
        ({"filters": (-1,)}, "filters = -1"),
        ({"filters": ()}, "at least one"),
        ({"last": "layer5"}, "last = layer5: no such layer; did you mean layer4"),
        ({"last": "layer"}, "no such layer"),
        ({"last": "fc"}, "last = fc: has no feature maps"),
        ({"channels": (512,)}, "channels = 512: layer4 has 512; valid: 0 to 511"),
    ],
)
def test_wrong_layers_are_told(changes: dict[str, object], message: str) -> None:
    net = resnet18().eval()
    with pytest.raises(UserError) as caught:
        check_layers(net, Section(**changes), "visualize.layers.resnet18")  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("visualize.layers.resnet18.")


def test_right_layers_are_not_refused(backbone: tuple[str, nn.Module]) -> None:
    name, net = backbone
    check_layers(net, LAYERS[name], "here")
    check_layers(net, Section(**{**vars(LAYERS[name]), "last": OTHER_LAYERS[name]}), "here")


@pytest.mark.parametrize("name", list(NETS))
def test_view_of_an_example(name: str) -> None:
    net, examples = NETS[name], make_examples()
    view = view_example(net, NORMALISATION, "model1-baseline", examples, 2)
    images = NORMALISATION.to(CPU)(torch.from_numpy(examples.images[2:3]))
    first = "blocks.0.conv" if net.stem is None else "stem.conv"
    assert view.weights.shape[1] == 3
    assert np.array_equal(view.first_maps, hooked(net, first, images)[0, :SHOWN].numpy())
    assert np.array_equal(view.last_maps, hooked(net, "blocks.1.conv", images)[0, :SHOWN].numpy())
    assert view.image == "CIFAR-10 test image 14 (bird)"
    assert view.probability == pytest.approx(float(net(images).detach().softmax(1).max()), rel=1e-5)


@pytest.mark.parametrize("name", list(NETS))
def test_halves_make_the_whole(name: str) -> None:
    net, images = NETS[name], torch.randn(5, 3, 32, 32)
    features, head = split_net(net, 32)
    maps = features(images)
    # Before the last pooling.
    size = {"without pooling": 8, "stem and early pooling": 7}.get(name, 16)
    assert maps.shape == (5, 9, size, size)
    assert torch.allclose(head(maps), net(images), atol=1e-6)


@pytest.mark.parametrize("name", list(NETS))
def test_grad_cam_against_finite_differences(name: str) -> None:
    """Its weights: how fast the logit grows when a value is added to a whole map, per place."""
    net = deepcopy(NETS[name]).double()
    features, head = split_net(net, 32)
    maps = features(torch.randn(1, 3, 32, 32).double()).detach()
    images, step, weights = maps.repeat(10, 1, 1, 1), 1e-7, []
    for channel in range(maps.shape[1]):
        change = torch.zeros_like(maps)
        change[:, channel] = step
        slopes = (head(maps + change) - head(maps - change))[0] / (2 * step)
        weights.append(slopes.detach() / maps[0, 0].numel())
    expected = torch.einsum("ck,chw->khw", torch.stack(weights), maps[0]).relu()
    cam = grad_cam(nn.Identity(), head, images, torch.arange(10))
    peaks = expected.amax((1, 2))
    # Of a fresh net the maps speak for some of the classes only.
    assert (peaks > 0).sum() >= 3
    for label in range(10):
        scaled = expected[label] / peaks[label] if peaks[label] > 0 else expected[label]
        assert torch.allclose(cam[label], scaled, atol=1e-5)


class Quadrant(nn.Module):
    """Logit 1 is the sum over the upper right quarter of the maps, logit 0 minus that over all."""

    def forward(self, maps: Tensor) -> Tensor:
        quarter = maps[:, :, :4, 4:].sum((1, 2, 3))
        return torch.stack([-maps.sum((1, 2, 3)), quarter], 1)


def test_grad_cam_marks_what_the_class_lies_in() -> None:
    """Only the upper right of the image is bright, and only there are maps active."""
    images = torch.zeros(1, 3, 8, 8)
    images[:, :, :4, 4:] = 1
    cam = grad_cam(nn.Identity(), Quadrant(), images, torch.tensor([1]))[0]
    assert (cam[:4, 4:] == 1).all() and cam.sum() == 16
    # Nothing speaks for the class whose logit falls with every value.
    assert not grad_cam(nn.Identity(), Quadrant(), images, torch.tensor([0])).any()


def test_grad_cam_of_a_net_that_looks_at_one_quarter() -> None:
    """A convolution whose maps are zero but for a bright patch, in a whole net."""
    net = make_net(filters=(4,), kernel_size=1, padding=0, hidden=())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.blocks[0].conv.weight[2] = 1.0  # type: ignore[union-attr]
        net.head.weight.view(10, 4, 16, 16)[5, 2, :8, 8:] = 1.0
    examples = make_examples(1)
    dark = np.zeros((1, 3, 32, 32), np.uint8)
    dark[:, :, 2:14, 18:30] = 255
    examples = Examples(
        title="CIFAR-10",
        class_names=CIFAR10.class_names,
        images=dark,
        labels=np.array([5]),
        predicted=np.array([7]),
        index=examples.index,
    )
    shown = attribute(net, Normalisation(mean=(0.0,) * 3, std=(255.0,) * 3), "tiny", examples)
    assert shown.for_label.shape == (1, 32, 32) and shown.map_size == 32
    assert shown.for_label[0, 2:14, 18:30].min() == 1 and shown.for_label.sum() == 144
    # Class 7 takes no notice of the maps.
    assert not shown.for_predicted.any()


def test_attribution_explains_answer_and_truth() -> None:
    net, examples = NETS["batch norm"], make_examples()
    shown = attribute(net, NORMALISATION, "improve-best", examples)
    images = NORMALISATION.to(CPU)(torch.from_numpy(examples.images))
    answers = net(images).softmax(1).detach()
    rows = np.arange(len(examples))
    assert np.allclose(shown.probability, answers[rows, examples.predicted])
    for maps, classes in (
        (shown.for_predicted, examples.predicted),
        (shown.for_label, examples.labels),
    ):
        cam = grad_cam(*split_net(net, 32), images, torch.from_numpy(classes))
        assert maps.shape == (6, 32, 32) and maps.min() >= 0 and maps.max() <= 1
        centres = F.avg_pool2d(torch.from_numpy(maps)[:, None], 2)[:, 0]
        assert np.corrcoef(centres.ravel(), cam.ravel())[0, 1] > 0.95
    same = examples.labels == examples.predicted
    assert np.array_equal(shown.for_label[same], shown.for_predicted[same])


def test_what_is_missing_is_left_out(photo: Path) -> None:
    own, examples = {"model1-baseline": (NETS["plain"], NORMALISATION)}, make_examples()
    assert make_views(None, own, None, "model1-baseline") == Views()
    views = make_views(None, own, examples, "improve-best")
    assert list(views.own) == ["model1-baseline"] and views.attribution is None
    assert make_views(None, {}, examples, None) == Views()
    asked = ImageNetView(
        net=resnet18().eval(),
        backbone="resnet18",
        layers=Section(),
        photo=photo,
        description="noise",
    )
    facts = make_views(asked, own, examples, "model1-baseline").facts({"model1-baseline": "a hash"})
    assert facts["backbone"] == "ResNet-18" and facts["photo"] == "noise"
    assert (
        facts["own_nets"] == {"model1-baseline": "a hash"}
        and facts["explained"] == "model1-baseline"
    )
    assert 0 < facts["photo_probability"] <= 1 and isinstance(facts["photo_class"], str)
    empty = Views().facts({})
    assert set(empty) == set(facts) and not any(empty.values())
