"""A checkout with trainings of some seconds, and a copy of it whose records were made here."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from helpers.project import ROOT
from helpers.synthetic_images import make_images
from helpers.tiny_params import README

from cifar_tricks.base.arrays import write_arrays

KEYS = ("model1-leaky_relu", "model2-dropout")
LONGER = (
    ("train_images: 64, validation_images: 32", "train_images: 1000, validation_images: 500"),
    ("num_epochs: 2", "num_epochs: 40"),
    ("seeds: [0]", "seeds: [0, 1]"),
    ("early_stop_count: 4", "early_stop_count: 999"),
)


class ClusterStudy:
    """A checkout, and the commands of its driver.

    Args:
        folder: is made.
        settings: variables of its commands.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder, self.settings = folder, settings
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        text = README
        for before, after in LONGER:
            text = text.replace(before, after)
        (folder / "params.yaml").write_text(text)
        (folder / ".dvc/tmp").mkdir(parents=True)
        write_arrays(folder / "data/dataset/train.safetensors", make_images(1500).arrays)
        write_arrays(folder / "data/dataset/test.safetensors", make_images(60, seed=1).arrays)
        (folder / "data/augment.done").write_text("done\n")

    @contextmanager
    def share(self, *arguments: str, **settings: str) -> Iterator[psutil.Popen]:
        """`make share` on its way; killed at the end if it has not ended."""
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "CIFAR_TRICKS_NODE", "DVC_ROOT")
        clean = {name: value for name, value in os.environ.items() if name not in names}
        process = psutil.Popen(
            [sys.executable, "-m", "cifar_tricks", "share", *arguments],
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(self.folder / "src")} | self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
            process.wait()

    def told(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """What a call prints, which must end with this code and without a traceback."""
        with self.share(*arguments, **settings) as process:
            output = str(process.communicate(timeout=240)[0])
        assert process.returncode == code, output
        assert "Traceback" not in output, output
        return output

    def records(self) -> dict[str, Any]:
        """Content of the records by file, but for what the clock decides."""
        found = {}
        for path in sorted((self.folder / "records").rglob("*.json")):
            content = json.loads(path.read_bytes())
            (seed,) = content["run"]["seeds"].values()
            assert seed["origin"].pop("seconds") > 0
            content.pop("sha256")
            found[str(path.relative_to(self.folder))] = content
        return found


def local_records(folder: Path) -> dict[str, Any]:
    """What a study like this comes to on this machine."""
    study = ClusterStudy(folder, {})
    study.told("--jobs", "2", *KEYS)
    return study.records()


def begun(node: Path, key: str = "") -> list[Path]:
    """Folders of the trainings on a node that have not ended."""
    paths = node.glob(f"resume/{key}*/about.json")
    return [path.parent for path in paths if not (path.parent / "result.json").exists()]


def states(node: Path, key: str = "") -> list[Path]:
    """Those that can go on where they were."""
    return [folder for folder in begun(node, key) if (folder / "state.safetensors").exists()]


def trainings(folder: Path) -> list[psutil.Process]:
    """Processes that train in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder) and "python" in process.name():
                found.append(process)
    return found
