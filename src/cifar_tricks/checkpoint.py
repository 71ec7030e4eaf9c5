"""The state of an interrupted training, on disk: whole or absent, and only for the same run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Holds a lock that the system frees however the process ends.

    DVC killed with -9 leaves its trainings alive, and a second `dvc repro` would start them again.

    Args:
        path: the lock file; it names the process that holds it.

    Raises:
        UserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    holder = path.with_suffix(".pid")
    try:
        lock.acquire()
    except Timeout as error:
        process = holder.read_text().strip() if holder.exists() else "unknown"
        raise UserError(
            f"this run is already being trained by process {process}; wait for it or end it"
        ) from error
    try:
        with _pid_file(holder):
            yield
    finally:
        lock.release()


@contextlib.contextmanager
def _pid_file(path: Path) -> Iterator[IO[str]]:
    with path.open("w") as file:
        file.write(str(os.getpid()))
        file.flush()
        yield file
    path.unlink(missing_ok=True)
