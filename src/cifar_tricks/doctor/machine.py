"""The system, its interpreter, and how much of it the study may use."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from cifar_tricks.base import resources
from cifar_tricks.doctor.finding import FAIL, NOTE, OK, Finding

VENV = Path(".venv")
# Measured after `make repro` at scale quick: data, DVC's copy of it, nets and downloads.
STUDY_BYTES = 2_000_000_000
PACKAGES_BYTES = 7_000_000_000
# Peak of one training at scale full, the system's own need left out.
TRAINING_BYTES = 2 * 1024**3


def system() -> Iterator[Finding]:
    """Linux or macOS; the folder is the project's."""
    text = f"{platform.system()} {platform.release()}, {platform.machine()}"
    known = platform.system() in ("Linux", "Darwin")
    yield Finding("system", *((OK, text) if known else (FAIL, f"{text}: on Windows use WSL2")))
    if missing := [name for name in ("params.yaml", "dvc.yaml") if not Path(name).is_file()]:
        text = f"{Path.cwd()} has no {' and no '.join(missing)}: cd to the folder of the clone"
        yield Finding("folder", FAIL, text)


def interpreter() -> Iterator[Finding]:
    """Python's version, and whether it is the one of ``make setup``."""
    text = f"Python {platform.python_version()}, {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036 - who has an older one asks here
        yield Finding("interpreter", FAIL, f"{text}: Python 3.11 or newer is needed")
    elif own_environment():
        yield Finding("interpreter", OK, text)
    else:
        yield Finding("interpreter", NOTE, f"{text}: not the .venv that make setup makes")


def own_environment() -> bool:
    """Whether this is the interpreter of the project's ``.venv``."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def capacity() -> Iterator[Finding]:
    """Cores and memory that this process may use."""
    cores, memory = resources.cores(), resources.memory()
    text = f"{cores:g} of {os.cpu_count()} cores, {memory / 1024**3:.1f} GiB of memory"
    if memory < TRAINING_BYTES:
        need = f"a training takes up to {TRAINING_BYTES / 1024**3:.0f} GiB and may be killed"
        yield Finding("capacity", FAIL, f"{text}: {need}; give this machine or container more")
    else:
        yield Finding("capacity", OK, text)


def disk() -> Iterator[Finding]:
    """Room for the packages, where they are not installed yet, and for the study."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    needed = STUDY_BYTES + (0 if find_spec("torch") else PACKAGES_BYTES)
    text = f"{free / 1e9:.1f} GB free; needed: {needed / 1e9:.1f} GB"
    if not os.access(folder, os.W_OK):
        yield Finding("disk", FAIL, f"{folder} cannot be written: chown or chmod it")
    elif free < needed:
        yield Finding("disk", FAIL, f"{text}: free some, or clone onto a larger disk")
    else:
        yield Finding("disk", OK, text)
