"""What takes long to make and is only read, made once for all of xdist's workers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MadeOnce:
    """A function of a folder's name and of what fills it; who asks first fills it, others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # master: without xdist

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, begun = shared / name, shared / f"{name}, begun"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir()
                fill(begun)
                begun.rename(path)
        return path

    return folder
