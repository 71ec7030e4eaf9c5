"""The two archive layouts of CIFAR-10 decoded to the same arrays."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_tricks.base.errors import UserError
from cifar_tricks.data.archives import BadArchive, load_array_pickle, read_members
from cifar_tricks.datasets import catalogue
from cifar_tricks.datasets.cifar10 import CIFAR10, CONTENT_HASHES, IMAGE_SIZE, ContentHash, Split
from cifar_tricks.datasets.ways import Splits, Way

TRAIN_BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
TEST_BATCHES = ["test_batch"]
BATCH_IMAGES = 10_000
NUM_CLASSES = len(catalogue.CIFAR10.class_names)
# The largest member of either archive has 31 MB.
BATCH_BYTES = 32_000_000
LABEL_BYTES = 200_000

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


def decode(
    path: Path,
    *,
    batch_images: int = BATCH_IMAGES,
    expected: Mapping[str, ContentHash] = CONTENT_HASHES,
) -> dict[str, Split]:
    """Decode a verified CIFAR-10 archive of either layout.

    Args:
        path: the archive, its hash already checked; its name tells the layout (.tar.gz: the
            official one, .tgz: the npm package).
        batch_images: images in each of the six batches.
        expected: content hash of each split.

    Returns:
        The splits "train" and "test".

    Raises:
        UserError: the archive does not hold what it should.
    """
    read = _read_official if path.name.endswith(".tar.gz") else _read_npm
    try:
        splits = read(path, batch_images)
    except BadArchive as error:
        raise UserError(f"{path} is not CIFAR-10: {error}") from error
    for name, split in splits.items():
        if split.content_hash() != expected[name]:
            raise UserError(f"{path}: the decoded {name} images or labels are not CIFAR-10's")
    return splits


def _both_splits(read_batch: Callable[[str], Batch], batch_images: int) -> dict[str, Split]:
    names = TRAIN_BATCHES + TEST_BATCHES
    num_train = batch_images * len(TRAIN_BATCHES)
    images = np.empty((batch_images * len(names), 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    labels = np.empty(len(images), dtype=np.int64)

    def place(number: int) -> None:
        rows = slice(number * batch_images, (number + 1) * batch_images)
        images[rows], labels[rows] = read_batch(names[number])

    # Inflating and copying release the interpreter lock: two threads take half the time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(place, range(len(names))))
    return {
        "train": Split(images=images[:num_train], labels=labels[:num_train]),
        "test": Split(images=images[num_train:], labels=labels[num_train:]),
    }


def _read_official(path: Path, batch_images: int) -> dict[str, Split]:
    folder = "cifar-10-batches-py"
    names = TRAIN_BATCHES + TEST_BATCHES
    members = read_members(path, {f"{folder}/{name}": BATCH_BYTES for name in names})

    def read_batch(name: str) -> Batch:
        content = members[f"{folder}/{name}"]
        return read_pickled_batch(content, name, batch_images, "labels", NUM_CLASSES)

    return _both_splits(read_batch, batch_images)


def read_pickled_batch(
    content: bytes, name: str, num_images: int, labels: str, num_classes: int
) -> Batch:
    """Images (N, 3, 32, 32) and labels (N,) of a file of the official archives.

    Args:
        content: of the file.
        name: of the file.
        num_images: N.
        labels: what the file calls its labels.
        num_classes: labels are smaller.

    Raises:
        BadArchive: it does not hold that.
    """
    batch = load_array_pickle(content)
    if not isinstance(batch, dict) or not isinstance(batch.get(b"data"), np.ndarray):
        raise BadArchive(f"{name} holds no images")
    images = batch[b"data"]
    if images.dtype != np.uint8 or images.shape != (num_images, 3 * IMAGE_SIZE**2):
        raise BadArchive(f"{name} holds {images.dtype} of shape {images.shape}")
    images = images.reshape(num_images, 3, IMAGE_SIZE, IMAGE_SIZE)
    return images, _checked_labels(batch.get(labels.encode()), num_images, name, num_classes)


def _read_npm(path: Path, batch_images: int) -> dict[str, Split]:
    # The package spells it "lables".
    label_files = {"train": "package/train_lables.json", "test": "package/test_lables.json"}
    wanted = {f"package/{name}.png": BATCH_BYTES for name in TRAIN_BATCHES + TEST_BATCHES}
    members = read_members(path, wanted | dict.fromkeys(label_files.values(), LABEL_BYTES))
    train = _json_labels(members, label_files["train"], batch_images * len(TRAIN_BATCHES))
    test = _json_labels(members, label_files["test"], batch_images * len(TEST_BATCHES))
    labels = dict(zip(TRAIN_BATCHES, np.split(train, len(TRAIN_BATCHES)), strict=True))
    labels |= dict(zip(TEST_BATCHES, np.split(test, len(TEST_BATCHES)), strict=True))

    def read_batch(name: str) -> Batch:
        images = _png_images(members[f"package/{name}.png"], batch_images, name)
        return images, labels[name]

    return _both_splits(read_batch, batch_images)


def _png_images(data: bytes, batch_images: int, name: str) -> NDArray[np.uint8]:
    """Decode a PNG in which every row of pixels is one image."""
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode != "RGB" or picture.size != (IMAGE_SIZE**2, batch_images):
                raise BadArchive(f"{name} is a {picture.mode} picture of size {picture.size}")
            rows = np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadArchive(f"{name} cannot be decoded ({error})") from error
    images = rows.reshape(batch_images, IMAGE_SIZE, IMAGE_SIZE, 3)
    return images.transpose(0, 3, 1, 2)


def _json_labels(members: Mapping[str, bytes], name: str, num_labels: int) -> NDArray[np.int64]:
    try:
        labels = json.loads(members[name])
    except ValueError as error:
        raise BadArchive(f"{name} cannot be read ({error})") from error
    return _checked_labels(labels, num_labels, name, NUM_CLASSES)


def _checked_labels(
    labels: object, num_labels: int, name: str, num_classes: int
) -> NDArray[np.int64]:
    if not isinstance(labels, list) or len(labels) != num_labels:
        raise BadArchive(f"{name} does not hold {num_labels} labels")
    if not all(type(label) is int and 0 <= label < num_classes for label in labels):
        raise BadArchive(f"{name} holds labels other than 0 to {num_classes - 1}")
    return np.array(labels, dtype=np.int64)


def _decode(paths: Sequence[Path]) -> Splits:
    return {
        name: {"images": split.images, "labels": split.labels}
        for name, split in decode(paths[0]).items()
    }


WAYS = (Way(assets=(CIFAR10,), decode=_decode),)
