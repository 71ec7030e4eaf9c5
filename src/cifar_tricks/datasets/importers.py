"""From the name of a data set to its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.data.assets import Asset
from cifar_tricks.datasets import (
    catalogue,
    cifar10_archives,
    cifar100,
    digits,
    fashion_mnist,
    mnist,
)
from cifar_tricks.datasets.dataset import Dataset, write_dataset
from cifar_tricks.datasets.fingerprint import fingerprint_of
from cifar_tricks.datasets.folder import list_folder
from cifar_tricks.datasets.folder_images import read_images
from cifar_tricks.datasets.ways import Way, load

WAYS: Mapping[str, Sequence[Way]] = {
    "cifar10": cifar10_archives.WAYS,
    "cifar100": cifar100.WAYS,
    "fashion_mnist": fashion_mnist.WAYS,
    "mnist": mnist.WAYS,
    "digits": digits.WAYS,
}
# Every file that a data set may have been read from.
ALL_ASSETS = tuple(asset for ways in WAYS.values() for way in ways for asset in way.assets)


def assets(spec: str) -> tuple[Asset, ...]:
    """Of each way to a data set the first file: where one of these can be had, so can the set."""
    return tuple(way.assets[0] for way in WAYS.get(spec, ()))


def import_dataset(spec: str, folder: Path) -> tuple[Dataset, dict[str, Any]]:
    """Fetches a data set and writes its files: see
    :func:`cifar_tricks.datasets.dataset.write_dataset`.

    Args:
        spec: what params.yaml calls it.
        folder: where to.

    Returns:
        The data set, and its part of the manifest: ``assets`` that were fetched, and ``files``.

    Raises:
        UserError: there is none of this name, no source delivered it, an image cannot be read, or
            the files cannot be written.
    """
    try:
        dataset = catalogue.look(spec)
    except ValueError as error:
        raise UserError(f"{spec}: {error}") from error
    if spec in WAYS:
        # No output, which DVC would delete before a run; shared with queued experiments' checkouts.
        splits, fetched = load(WAYS[spec], project_root() / "data" / "downloads")
    else:
        listing = list_folder(spec.removeprefix(catalogue.FOLDER_MARK))
        source = fingerprint_of(listing)
        splits, notes = read_images(listing)
        dataset, fetched = replace(dataset, notes=notes, source=source), {}
    dataset, files = write_dataset(dataset, spec, splits, folder)
    return dataset, {"assets": fetched, "files": files}
