"""A folder in which trainings run: data, stages and tiny parameters."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT, link_code, one_line_lists, own_code
from helpers.synthetic_images import write_data

from cifar_tricks.commands.record import record_seeds
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs.folders import record_file

SMALL = {
    "train_images: 2000": "train_images: 128",
    "num_epochs: 2": "num_epochs: 3",
    "validation_images: 500": "validation_images: 64",
    "test_images: 2000": "test_images: 60",
    "image_size: 224": "image_size: 32",
    "filters: [64, 64, 64]": "filters: [4, 4]",
    "filters: [32, 64, 128]": "filters: [4, 8]",
    "filters: [64, 64, 64, 64]": "filters: [4, 4, 4]",
    "filters: [128, 128, 128, 128]": "filters: [6, 6, 6]",
    "filters: [128, 128, 128]": "filters: [6, 6]",
    "filters: [64, 64, 256, 256, 256, 256]": "filters: [4, 4, 6, 6, 6, 6]",
    "filters: [96, 96, 320, 320, 320, 320]": "filters: [4, 4, 6, 6, 6, 6]",
    "batch_size: 512": "batch_size: 32",
    "batch_size: 128": "batch_size: 16",
    "batch_size: 1024": "batch_size: 64",
}


def small_params(text: str) -> str:
    """params.yaml at scale quick, made tiny."""
    text = one_line_lists(text)
    for before, after in SMALL.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, stages and parameters; the current one."""
    folder = tmp_path / "a folder ü"
    link_code(folder)
    (folder / "params.yaml").write_text(small_params((ROOT / "params.yaml").read_text()))
    write_data(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def stage(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def edit(before: str, after: str) -> None:
    path = Path("params.yaml")
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def states() -> list[str]:
    """Names of the unfinished trainings."""
    return [path.name for path in Path("resume").iterdir() if path.name != ".locks"]


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# A state is saved rarely by default. Here often, and slowly, so that many kills come while it is
# being written.
OFTEN = ("src/cifar_tricks/training/loop.py", "CHECKPOINTS = 30.0", "CHECKPOINTS = 0.05")


def patch(path: str, before: str, after: str) -> None:
    own_code()
    text = Path(path).read_text()
    assert text.count(before) == 1
    Path(path).write_text(text.replace(before, after))


KEY = "model2-dropout"
RECORD = record_file("quick", KEY, 0)


@pytest.fixture
def recorded(workplace: Path) -> Path:
    """A checkout that has a record and nothing else of it: the state of a fresh clone."""
    record_seeds(load_params(), KEY, [0])
    shutil.rmtree("resume")
    shutil.rmtree("logs")
    return workplace
