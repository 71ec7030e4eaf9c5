"""CIFAR-10 in parts: the same bytes back, and no other data."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from helpers.project import ROOT
from helpers.synthetic_images import write_data

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.tricks.augment import Augment, write_copies


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parts", ROOT / "benchmarks/cifar_parts.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parts = script()
FILES = ("dataset/train.safetensors", "dataset/test.safetensors", "augmented.safetensors")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    write_data(tmp_path, train=1100, test=420)
    train = read_arrays(tmp_path / "data/dataset/train.safetensors")
    write_copies(train, tmp_path / "data/augmented.safetensors", Augment())
    assert parts.main(["pack", str(tmp_path / "data"), str(tmp_path / "parts")]) == 0
    return tmp_path / "parts"


def test_the_same_bytes_come_back(packed: Path, tmp_path: Path) -> None:
    assert parts.main(["unpack", str(packed), str(tmp_path / "back")]) == 0
    for file in FILES:
        assert (tmp_path / "back" / file).read_bytes() == (tmp_path / "data" / file).read_bytes()
    assert all(path.stat().st_size < 64 * 2**20 for path in packed.iterdir())


def test_a_part_that_is_missing_cut_or_of_other_data_is_told_in_one_line(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = packed / "train-1.bin"
    content = part.read_bytes()
    other = bytearray(content)
    other[-1] ^= 1
    damaged = f"{part} is damaged"
    cases = {
        f"{part} is missing": None,
        damaged: content[:-7],
        f"{damaged}:": bytes(other),
        f"{damaged}: ": (packed / "test.bin").read_bytes(),
        f"{damaged}: copy": b"",
        f"{damaged}: copy it": b"[1, 2]\n" + content,
    }
    capsys.readouterr()
    for told, bad in cases.items():
        if bad is None:
            part.unlink()
        else:
            part.write_bytes(bad)
        assert parts.main(["unpack", str(packed), str(tmp_path / "back")]) == 2
        output = capsys.readouterr()
        assert told in output.err and len(output.err.splitlines()) == 1 and not output.out
    assert not (tmp_path / "back").exists()


def test_parts_of_two_files_are_not_mixed(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "other"
    write_data(elsewhere, train=1000, test=420)
    assert parts.main(["pack", str(elsewhere / "data"), str(elsewhere / "parts")]) == 0
    (elsewhere / "parts/train-1.bin").replace(packed / "train-1.bin")
    capsys.readouterr()
    assert parts.main(["unpack", str(packed), str(tmp_path / "back")]) == 2
    assert "the parts of train are not of one file" in capsys.readouterr().err


def test_without_the_data_there_is_nothing_to_pack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parts.main(["pack", str(tmp_path), str(tmp_path / "parts")]) == 2
    assert "dataset/train.safetensors is missing" in capsys.readouterr().err
