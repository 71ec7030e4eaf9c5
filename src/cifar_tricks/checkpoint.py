"""The state of an interrupted training, on disk: whole or absent, and only for the same run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from cifar_tricks.errors import UserError
from cifar_tricks.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One file that holds the state of one training.

    Args:
        path: the file; its folder is named after all that determines the run, so a state is never
            taken up by a run of other parameters, data or code.
    """

    path: Path

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state in one step: a crash leaves the old or the new one."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        write_atomically(self.path, hashlib.sha256(payload).digest() + payload)

    def load(self) -> dict[str, Any] | None:
        """The saved state on the CPU, or None where there is none.

        Raises:
            UserError: the file is damaged.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:32], content[32:]
        if hashlib.sha256(payload).digest() != digest:
            raise UserError(f"{self.path} is damaged; delete it to train this run from its start")
        # Tensors and plain values only: nothing in the file can run code.
        state: dict[str, Any] = torch.load(
            io.BytesIO(payload), map_location="cpu", weights_only=True
        )
        return state

    def remove(self) -> None:
        """Deletes the saved state, if any."""
        self.path.unlink(missing_ok=True)


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
        self.checkout = checkout


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
    lock = FileLock(locks / f"{folder.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        process, _, checkout = holder.read_text().partition("\n") if holder.exists() else ("?",) * 3
        raise AlreadyRunning(process, checkout) from error
    try:
        holder.write_text(f"{os.getpid()}\n{Path.cwd()}")
        yield folder
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
