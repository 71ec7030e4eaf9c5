"""Arrays on disk: safetensors files that carry the hash of their own content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored, write_atomically


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """Named arrays and the sha256 of their content; equal to nothing but itself.

    Args:
        arrays: by name.
        sha256: see :func:`content_hash`.
        note: the text that was written with them.
    """

    arrays: Mapping[str, np.ndarray]
    sha256: str
    note: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


def content_hash(arrays: Mapping[str, np.ndarray], note: str = "") -> str:
    """sha256 (hexadecimal) over names, types, shapes and bytes in any order, and over the note."""
    digest = hashlib.sha256(note.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], *, note: str = "") -> str:
    """Writes arrays atomically; the same content gives the same bytes.

    Args:
        path: the file.
        arrays: by name.
        note: a text that is kept with them, under the same hash.

    Returns:
        Their content hash, which the file's metadata carries too.
    """
    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    sha256 = content_hash(contiguous, note)
    metadata = {"sha256": sha256} | ({"note": note} if note else {})
    write_atomically(Path(path), save(contiguous, metadata=metadata))
    return sha256


def read_arrays(path: Path | str, *, remedy: str = "") -> Arrays:
    """Reads a file that :func:`write_arrays` wrote and checks it against its own hash.

    Args:
        path: the file.
        remedy: what brings it back, for the message; by default DVC's cache.

    Raises:
        UserError: the file is missing or damaged.
    """
    remedy = remedy or restored(path)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; {remedy}") from error
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError) as error:
        # The latter: types that NumPy does not know, and shapes that no memory holds.
        raise UserError(f"{path} is damaged ({error}); {remedy}") from error
    note = metadata.get("note", "")
    sha256 = content_hash(arrays, note)
    if sha256 != metadata.get("sha256"):
        raise UserError(f"{path} is damaged (its content does not match its own hash); {remedy}")
    return Arrays(arrays=arrays, sha256=sha256, note=note)
