"""What a data set is: two files of images and labels, and ``dataset.json`` beside them."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import hash_file, restored, write_atomically

# The chosen one lies there.
FOLDER = Path("data/dataset")
ABOUT = "dataset.json"
# Controls, halves of characters, and line ends; not what joins letters, as Persian needs it.
NOT_IN_NAMES = ("Cc", "Cs", "Zl", "Zp")


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
        content: sha256 over the images, labels and class names of both files; "" where they are not
            made yet, and nobody knows what they will be.
        notes: what the import did that a reader has to know.
        source: fingerprint of the folder that they were made from; "" of a named data set.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    image_size: int
    train_images: int
    test_images: int
    content: str = ""
    notes: tuple[str, ...] = ()
    source: str = ""


def write_dataset(
    dataset: Dataset, spec: str, splits: Mapping[str, Mapping[str, Any]], folder: Path
) -> tuple[Dataset, dict[str, Any]]:
    """Writes a file of arrays for each split, and ``dataset.json``, each atomically; the same
    content always gives the same bytes.

    Args:
        dataset: with the content hash that the files must have, if that is known.
        spec: what params.yaml calls it.
        splits: of ``train`` and ``test``: ``images`` uint8 (N, 3, size, size), ``labels`` int64
            (N,) from 0 to the number of classes - 1.
        folder: where to.

    Returns:
        The data set with its content hash, and what the manifest says about the files.

    Raises:
        UserError: one cannot be written, or they hold something else than they should.
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
    content = digest.hexdigest()
    if dataset.content not in ("", content):
        raise UserError(f"what was fetched is not {dataset.title}: its content is {content}")
    dataset = replace(dataset, content=content)
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
        lists: dict[str, Any] = {
            name: tuple(map(str, fields.pop(name))) for name in ("class_names", "notes")
        }
        return spec, Dataset(**{**fields, **lists})
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: dvc repro writes it") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged; {restored(path)}") from error


def is_name(text: str) -> bool:
    """Whether a class may be called so: text of one line, in any script."""
    return bool(text.strip()) and all(
        unicodedata.category(char) not in NOT_IN_NAMES for char in text
    )
