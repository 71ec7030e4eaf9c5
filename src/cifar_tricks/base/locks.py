"""One process at a time writes a folder."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically

# How often a lock is tried whose holder does not live; 0.05 s apart.
ATTEMPTS = 40


class AlreadyRunning(UserError):
    """Another process trains the same run.

    Args:
        process: its id.
        checkout: the folder that it runs in.
    """

    def __init__(self, process: str, checkout: str) -> None:
        super().__init__(
            f"this run is already being trained by process {process}; wait for it or end it"
        )
        self.process, self.checkout = process, checkout


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[Path]:
    """Holds a lock on a folder that the system frees however the process ends.

    DVC killed with -9 leaves its trainings alive, and a second `dvc repro` would start them again.

    Args:
        folder: is made; `.locks` beside it holds the lock and a file that names its holder.

    Raises:
        AlreadyRunning: another process holds it.
    """
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    holder = locks / f"{folder.name}.pid"
    # The lock file stays: deleting it would let a third process lock a new file of that name
    # while a second one holds the deleted one.
    lock = FileLock(_lock_file(folder), timeout=0)
    for _ in range(ATTEMPTS):
        try:
            lock.acquire()
            break
        except Timeout as error:
            process, _, checkout = _read_holder(holder)
            if process.isdecimal() and psutil.pid_exists(int(process)):
                raise AlreadyRunning(process, checkout) from error
            # Somebody only looks whether it is free, or has not written its id yet.
            time.sleep(0.05)
    else:
        raise AlreadyRunning("?", "")
    try:
        write_atomically(holder, f"{os.getpid()}\n{Path.cwd()}".encode())
        yield folder
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read_holder(holder: Path) -> tuple[str, str, str]:
    try:
        return holder.read_text().partition("\n")
    except OSError:
        return "?", "", ""


def is_locked(folder: Path) -> bool:
    """Whether a process trains what this folder is for."""
    lock = FileLock(_lock_file(folder), timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True


def _lock_file(folder: Path) -> Path:
    return folder.parent / ".locks" / f"{folder.name}.lock"
