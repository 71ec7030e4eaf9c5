"""From the name of a data set to its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.datasets.catalogue import look
from cifar_tricks.datasets.dataset import Dataset, write_dataset


def import_dataset(spec: str, folder: Path) -> tuple[Dataset, dict[str, Any]]:
    """Fetches a data set and writes its files: see
    :func:`cifar_tricks.datasets.dataset.write_dataset`.

    Args:
        spec: what params.yaml calls it.
        folder: where to.

    Returns:
        The data set, and its part of the manifest: ``assets`` that were fetched, and ``files``.

    Raises:
        UserError: no source delivered it, or it cannot be written.
    """
    from cifar_tricks.datasets import cifar10, cifar10_archives, digits

    dataset, assets = look(spec), {}
    # Nothing that DVC would delete before a run; shared with queued experiments' checkouts.
    downloads = project_root() / "data" / "downloads"
    splits: dict[str, dict[str, Any]]
    if dataset.name == "cifar10":
        from cifar_tricks.data.fetch import fetch

        archive = fetch(cifar10.CIFAR10, downloads)
        assets = {"cifar10": archive.manifest_entry()}
        decoded = cifar10_archives.decode(archive.path)
        splits = {
            name: {"images": split.images, "labels": split.labels}
            for name, split in decoded.items()
        }
    elif dataset.name == "digits":
        splits, dataset = digits.digits(), replace(dataset, notes=digits.NOTES)
    else:
        raise UserError(f"params.yaml: data.dataset = {spec}: there is no importer yet")
    dataset, files = write_dataset(dataset, spec, splits, folder)
    return dataset, {"assets": assets, "files": files}
