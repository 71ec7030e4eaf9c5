"""Gray images in the files that MNIST came in, which data sets like it use too.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits" (the IDX format).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cifar_tricks.data.archives import BadArchive, unzip
from cifar_tricks.data.assets import Asset, Http, Source
from cifar_tricks.datasets.ways import Splits

# Images and labels of each split, with the most bytes that they may have.
FILES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
IMAGE_SIZE, NUM_CLASSES = 28, 10


def assets(
    dataset: str, hosts: Sequence[str], packed: Mapping[str, tuple[int, str, str]]
) -> tuple[Asset, ...]:
    """The files of FILES, packed with gzip, as the hosts have them.

    Args:
        dataset: name of the data set.
        hosts: URLs that end with a slash, in the order in which they are tried.
        packed: bytes, sha256 and md5 of each.
    """
    return tuple(
        Asset(
            name=f"{dataset} {name}",
            decoded_bytes=3 * FILES[name],
            sources=tuple(
                Source(
                    file_name=f"{dataset}-{name}.gz",
                    sha256=sha256,
                    md5=md5,
                    num_bytes=num_bytes,
                    via=Http(url=f"{host}{name}.gz"),
                )
                for host in hosts
            ),
        )
        for name, (num_bytes, sha256, md5) in packed.items()
    )


def read_zipped(paths: Sequence[Path]) -> Splits:
    """Both splits from the files of FILES, in their order, each packed with gzip.

    Raises:
        BadArchive: they do not hold that.
    """
    contents = zip(FILES, paths, strict=True)
    return read({name: unzip(path.read_bytes(), FILES[name]) for name, path in contents})


def read(contents: Mapping[str, bytes]) -> Splits:
    """Both splits from the contents of the files of FILES; gray becomes red, green and blue.

    Raises:
        BadArchive: they do not hold that.
    """
    train_images, train_labels, test_images, test_labels = (
        _array(name, contents[name]) for name in FILES
    )
    splits: Splits = {}
    for name, gray, labels in (
        ("train", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        if gray.shape != (len(labels), IMAGE_SIZE, IMAGE_SIZE):
            raise BadArchive(f"{name}: images of shape {gray.shape} to {len(labels)} labels")
        if not len(labels) or labels.max() >= NUM_CLASSES:
            raise BadArchive(f"{name}: labels other than 0 to {NUM_CLASSES - 1}")
        images = np.repeat(gray[:, None], 3, axis=1)
        splits[name] = {"images": images, "labels": labels.astype(np.int64)}
    return splits


def _array(name: str, data: bytes) -> np.ndarray:
    dimensions = 3 if "images" in name else 1
    start = 4 + 4 * dimensions
    # Two zeros, the code of unsigned bytes, the number of dimensions; then their lengths.
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < start:
        raise BadArchive(f"{name} is no IDX file of {dimensions} dimensions")
    shape = tuple(np.frombuffer(data[4:start], dtype=">u4").tolist())
    if len(data) - start != np.prod(shape, dtype=object):
        raise BadArchive(f"{name} has {len(data) - start} bytes where {shape} are announced")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
