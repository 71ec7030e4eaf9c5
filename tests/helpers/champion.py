"""A study of two trained variants and its champion."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.made_once import MadeOnce
from helpers.project import ROOT, link_code
from helpers.synthetic_images import write_data
from helpers.workplace import small_params

from cifar_tricks.parameters.load import load_params

FOLDER = Path("reports/quick/champion")


def run_stage(name: str, *options: str) -> None:
    """Runs a stage in this process: a start of its own takes as long as its work."""
    importlib.import_module(name).main([*options])


@pytest.fixture(scope="session")
def trained(made_once: MadeOnce) -> Path:
    """Two variants trained with two seeds, scored, and the champion chosen."""
    return made_once("trained", train_two)


def train_two(root: Path) -> None:
    from cifar_tricks.runs.train import train_variant  # slow to import

    link_code(root)
    text = small_params((ROOT / "params.yaml").read_text())
    (root / "params.yaml").write_text(text.replace("seeds: [0]", "seeds: [0, 5]", 1))
    write_data(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        run_stage("augment")
        for key in ("model1-baseline", "improve-best"):
            train_variant(load_params(), key)
        run_stage("evaluate", "--partial")
        run_stage("champion")


@pytest.fixture
def trained_copy(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it; the current folder."""
    folder = tmp_path / "a folder ü"
    shutil.copytree(trained, folder, symlinks=True)
    monkeypatch.chdir(folder)
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    yield folder
