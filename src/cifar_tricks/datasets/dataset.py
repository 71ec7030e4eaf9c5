"""What a data set is: two files of images and labels, and ``dataset.json`` beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import hash_file, restored, write_atomically

# The chosen one lies there.
FOLDER = Path("data/dataset")
ABOUT = "dataset.json"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set.

    Args:
        name: a key of :data:`cifar_tricks.datasets.catalogue.NAMED`, or ``folder``.
        title: what texts call it.
        class_names: in the order of their labels.
        image_size: height (= width) of its images in pixels.
        train_images: images of the training file.
        test_images: images of the test file.
        content: sha256 over the images, labels and class names of both files; "" before they are
            made.
        notes: what the import did that a reader has to know.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    image_size: int
    train_images: int
    test_images: int
    content: str = ""
    notes: tuple[str, ...] = ()


def write_dataset(
    dataset: Dataset, spec: str, splits: Mapping[str, Mapping[str, Any]], folder: Path
) -> tuple[Dataset, dict[str, Any]]:
    """Writes ``train.safetensors``, ``test.safetensors`` and ``dataset.json``, atomically; the same
    content always gives the same bytes.

    Args:
        dataset: without its content hash.
        spec: what params.yaml calls it.
        splits: of ``train`` and ``test``: ``images`` uint8 (N, 3, size, size), ``labels`` int64
            (N,) from 0 to the number of classes - 1.
        folder: where to.

    Returns:
        The data set with its content hash, and what the manifest says about the files.

    Raises:
        UserError: one cannot be written.
    """
    from cifar_tricks.base.arrays import write_arrays

    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    files = {}
    for name, arrays in splits.items():
        images, labels = arrays["images"], arrays["labels"]
        assert images.shape == (len(labels), 3, dataset.image_size, dataset.image_size)
        path = folder / f"{name}.safetensors"
        digest.update(write_arrays(path, {"images": images, "labels": labels}).encode())
        files[path.as_posix()] = {"sha256": hash_file(path), "bytes": path.stat().st_size}
    dataset = replace(dataset, content=digest.hexdigest())
    about = json.dumps({"spec": spec, **asdict(dataset)}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / ABOUT, about.encode())
    return dataset, files


def read_dataset(folder: Path = FOLDER) -> tuple[str, Dataset]:
    """What params.yaml called the data set that lies in the folder, and the data set.

    Raises:
        UserError: ``dataset.json`` is missing or damaged.
    """
    path = folder / ABOUT
    try:
        fields = json.loads(path.read_bytes())
        spec = str(fields.pop("spec"))
        lists = {name: tuple(map(str, fields.pop(name))) for name in ("class_names", "notes")}
        return spec, Dataset(**fields, **lists)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: dvc repro writes it") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged; {restored(path)}") from error
