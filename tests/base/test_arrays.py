"""Arrays on disk: byte-identical, and damage is found where the file is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cifar_tricks.base.arrays import read_arrays, write_arrays
from cifar_tricks.base.errors import UserError

ARRAYS = {"b": np.arange(12, dtype=np.int64).reshape(3, 4), "a": np.ones(5, dtype=np.float32)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sha256 = write_arrays(tmp_path / "x.safetensors", ARRAYS)
    read = read_arrays(tmp_path / "x.safetensors")
    assert read.sha256 == sha256
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)


def test_the_same_content_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    write_arrays(tmp_path / "y", dict(reversed(ARRAYS.items())))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.fault("damage")
def test_any_flipped_bit_is_found_and_the_command_named(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "x.safetensors"
    write_arrays(path, ARRAYS)
    good = path.read_bytes()
    record_property("tried", len(good))
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(bytes(damaged))
        with pytest.raises(UserError, match="dvc checkout"):
            read_arrays(path)


@pytest.mark.parametrize("length", [0, 7, 100])
@pytest.mark.fault("damage")
def test_a_truncated_or_missing_file_is_told(length: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="missing"):
        read_arrays(path)
    write_arrays(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="damaged"):
        read_arrays(path)
