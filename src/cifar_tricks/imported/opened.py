"""Which files a user's code reads while it makes a net, and whether it asks the network."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from cifar_tricks.base.user_code import is_installed

IMPORTING = "<frozen importlib._bootstrap>"
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/opt")
_watched: list[tuple[Collection[str], list[Path]]] = []
_hooked: list[bool] = []


@contextmanager
def read_by(files: Collection[Path]) -> Iterator[list[Path]]:
    """The files that are read in the ``with`` block, but for code, packages and the system's.

    Args:
        files: the user's modules; what a package reads while it is imported is its own affair.

    Raises:
        NetworkAsked: by whatever runs in the block.
    """
    if not _hooked:
        # There is no way to take a hook off again.
        sys.addaudithook(_note)
        _hooked.append(True)
    found: list[Path] = []
    _watched.append(({str(path) for path in files}, found))
    try:
        yield found
    finally:
        _watched.pop()


class NetworkAsked(BaseException):
    """A host was asked for; no Exception, which those who ask would take for a fault and go on."""


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _watched and event == "socket.getaddrinfo":
        raise NetworkAsked(str(args[0]))
    if event != "open" or not _watched or not isinstance(args[0], str | os.PathLike):
        return
    own, found = _watched[-1]
    path, flags = Path.cwd() / args[0], args[2]
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        return
    if path.suffix in (".py", ".pyc", ".so") or is_installed(path) or not path.is_file():
        return
    of_system = any(path.is_relative_to(folder) for folder in SYSTEM)
    if (path.is_relative_to(Path.cwd()) or not of_system) and _by_user(sys._getframe(1), own):
        found.append(path)


def _by_user(frame: FrameType | None, own: Collection[str]) -> bool:
    """Whether no package was being imported between the user's module and the reading."""
    while frame is not None and frame.f_code.co_filename not in own:
        if frame.f_code.co_filename == IMPORTING:
            return False
        frame = frame.f_back
    return True
