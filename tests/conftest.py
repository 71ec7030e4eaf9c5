"""What surrounds every test, and the fixtures that several share (`helpers/`)."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.synthetic_images import make_images

from cifar_tricks.base.arrays import Arrays

pytest_plugins = [
    "helpers.fault_table",
    "helpers.made_once",
    "helpers.workplace",
    "helpers.champion",
    "helpers.dvc_repository",
    "helpers.file_server",
    "helpers.mlflow_project",
    "helpers.judge_tables",
    "helpers.imported_nets",
]

# The longest first, so that xdist's workers end together; the first makes the DVC repository that
# the fourth has a copy of.
LONGEST = (
    "repository/test_pipeline.py",
    "commands/test_setup.py",
    "benchmarks/test_gpu.py",
    "repository/test_reruns.py",
    "commands/",
    "repository/",
    "faults/",
    "runs/",
)

# Half of the time that importing all tests takes; what they imported, no test looks at again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # nanobind calls what is never freed a leak


# `python` and `dvc` in the commands that tests start are those of this environment, and a make that
# a test starts is not that of `make test`.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# What they start keeps its bytecode: to compile the package anew takes each start half a second.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((n for n, name in enumerate(LONGEST) if path.startswith(name)), len(LONGEST))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="session")
def signals_end() -> None:
    """Started by nohup, this process ignores SIGHUP, in a script's background SIGINT, and so would
    all that the tests start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_power_cut() -> Iterator[None]:
    """The tests write ten thousand files and wait for the disk at none; what they start does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Rounding, and so golden values, must not depend on the machine's cores."""
    import torch  # here: pytest's own process, which the workers wait for, has no use for it

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    """300 labelled images."""
    return make_images(300)
