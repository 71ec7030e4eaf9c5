"""Arrays on disk: safetensors files that carry the hash of their own content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cifar_tricks.errors import UserError
from cifar_tricks.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Named arrays and the sha256 of their content.

    Args:
        arrays: by name.
        sha256: see :func:`content_hash`.
    """

    arrays: Mapping[str, np.ndarray]
    sha256: str

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 (hexadecimal) over names, types, shapes and bytes, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> str:
    """Writes arrays atomically; the same content gives the same bytes.

    Returns:
        Their content hash, which the file's metadata carries too.
    """
    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    sha256 = content_hash(contiguous)
    write_atomically(Path(path), save(contiguous, metadata={"sha256": sha256}))
    return sha256


def read_arrays(path: Path | str, *, restore: str | None = None) -> Arrays:
    """Reads a file that :func:`write_arrays` wrote and checks it against its own hash.

    Args:
        path: the file.
        restore: the command that brings the file back, for the message; by default the one that
            takes it from DVC's cache.

    Raises:
        UserError: the file is missing or damaged.
    """
    restore = restore or f"dvc checkout --force {path}"
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (file.metadata() or {}).get("sha256")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; bring it back with: {restore}") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it with: {restore}") from error
    sha256 = content_hash(arrays)
    if sha256 != expected:
        raise UserError(
            f"{path} is damaged (its content does not match its own hash); "
            f"restore it with: {restore}"
        )
    return Arrays(arrays=arrays, sha256=sha256)
