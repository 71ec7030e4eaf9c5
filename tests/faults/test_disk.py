"""A disk that is full or cannot be written, with real small file systems."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.file_server import CONTENT, FAULTS, Server, asset
from helpers.project import ROOT
from helpers.small_disk import fill, small_disk
from helpers.synthetic_images import write_data
from helpers.workplace import OFTEN, edit, outputs, patch, small_params, stage

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.data.fetch import fetch

KEY = "model1-dropout"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project on a disk of 40 MB; the current folder."""
    with small_disk(tmp_path / "disk", megabytes=40) as folder:
        for name in ("src", "stages"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / "params.yaml").write_text(small_params((ROOT / "params.yaml").read_text()))
        write_data(folder)
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DVC_ROOT", raising=False)
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield folder
        monkeypatch.chdir(tmp_path)


def run(key: str) -> tuple[int, str]:
    process = stage("stages/train.py", key)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@pytest.mark.fault("disk", tried=2)
def test_too_little_room_is_told_with_the_bytes_needed(disk: Path) -> None:
    filler = fill(disk, leave=5_000_000)
    code, output = run(KEY)
    assert code == 2 and output.count("\n") == 1, output
    assert output.startswith(f"error: {disk} has 5 MB free; this variant needs 10")
    assert not Path("runs").exists() and not Path("resume").exists()
    filler.unlink()
    fill(disk, leave=100_000)
    process = stage("stages/augment.py")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and output.count("\n") == 1, output
    told = re.match(
        r"error: cannot write data/augmented\.safetensors \((\d+) bytes\): No space left", output
    )
    assert told and int(told[1]) > 900_000, output
    assert not list(Path("data").glob("*augmented*")) and not list(Path("data").glob(".tmp-*"))


@pytest.mark.fault("disk")
@pytest.mark.slow
def test_a_disk_that_fills_up_midway_costs_nothing(disk: Path) -> None:
    edit("num_epochs: 3", "num_epochs: 400")
    edit("early_stop_count: 4", "early_stop_count: 4000")
    patch(*OFTEN)
    process = stage("stages/train.py", KEY)
    assert process.stdout is not None and process.stdout.readline()
    while not list(Path("resume").glob("*/state.safetensors")):
        time.sleep(0.02)
    filler = fill(disk, leave=0)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    last = output.splitlines()[-1]
    assert last.startswith("error: cannot write resume/") and "No space left" in last
    (state,) = Path("resume").glob("*/state.safetensors")
    read_arrays(state)
    filler.unlink()
    code, output = run(KEY)
    assert code == 0 and int(output.split("step ")[1].split("/")[0]) > 1, output
    resumed = outputs(Path("runs"))
    assert not list(Path().rglob(".tmp-*"))
    shutil.rmtree("runs")
    assert run(KEY)[0] == 0
    assert outputs(Path("runs")) == resumed


@pytest.mark.fault("disk")
def test_a_disk_that_cannot_be_written_is_told(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in (["stages/train.py", KEY], ["stages/augment.py"], ["stages/check.py"]):
        process = stage(*command)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2 and output.count("\n") == 1, output
        assert output.startswith("error: cannot write ") and "Read-only file system" in output


@pytest.mark.fault("disk")
def test_a_download_that_fills_the_disk_goes_on_later(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as folder:
        # Other programs take the room after the check at the start.
        monkeypatch.setattr("cifar_tricks.data.fetch._check_space", lambda *_: None)
        download = asset(server.source("/file", FAULTS.whole()))
        filler = fill(folder, leave=len(CONTENT) // 2)
        with pytest.raises(UserError, match=r"cannot write to .*No space left"):
            fetch(download, folder)
        (part,) = folder.glob("*.part")
        assert 0 < part.stat().st_size < len(CONTENT)
        filler.unlink()
        fetched = fetch(download, folder)
        assert fetched.path.read_bytes() == CONTENT
        assert not list(folder.glob("*.part"))
