"""CIFAR-100 with its hundred fine classes: where it comes from, and how its archive is read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Sequence
from pathlib import Path

from cifar_tricks.data.archives import BadArchive, load_array_pickle, read_members
from cifar_tricks.data.assets import Asset, Http, Source
from cifar_tricks.datasets import catalogue
from cifar_tricks.datasets.cifar10_archives import read_pickled_batch
from cifar_tricks.datasets.ways import Splits, Way

ARCHIVE = Asset(
    name="cifar100",
    decoded_bytes=185_000_000,
    sources=(
        Source(
            file_name="cifar-100-python.tar.gz",
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            num_bytes=169_001_437,
            via=Http(url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"),
        ),
    ),
)
FOLDER = "cifar-100-python"
# The largest sizes of its files.
MOST_BYTES = {
    f"{FOLDER}/train": 160_000_000,
    f"{FOLDER}/test": 32_000_000,
    f"{FOLDER}/meta": 10_000,
}


def decode(path: Path, *, train_images: int, test_images: int) -> Splits:
    """Both splits from the archive.

    Args:
        path: the archive, its hash already checked.
        train_images: images of its training file.
        test_images: images of its test file.

    Raises:
        BadArchive: it does not hold that.
    """
    members = read_members(path, MOST_BYTES)
    classes = catalogue.CIFAR100.class_names
    meta = load_array_pickle(members[f"{FOLDER}/meta"])
    names = meta.get(b"fine_label_names") if isinstance(meta, dict) else None
    if names != [name.encode() for name in classes]:
        raise BadArchive("meta does not name CIFAR-100's classes")
    splits: Splits = {}
    for name, number in (("train", train_images), ("test", test_images)):
        content = members[f"{FOLDER}/{name}"]
        images, labels = read_pickled_batch(content, name, number, "fine_labels", len(classes))
        splits[name] = {"images": images, "labels": labels}
    return splits


def _decode(paths: Sequence[Path]) -> Splits:
    dataset = catalogue.CIFAR100
    return decode(paths[0], train_images=dataset.train_images, test_images=dataset.test_images)


WAYS = (Way(assets=(ARCHIVE,), decode=_decode),)
