"""Files on disk: their hash, and writing them so that a crash never leaves half of one."""

import contextlib
import errno
import hashlib
import os
import platform
import struct
import threading
import zlib
from pathlib import Path

import psutil

from cifar_tricks.base.errors import UserError


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file's bytes.

    Args:
        path: the file.
        algorithm: a name that `hashlib.new` knows.

    Returns:
        The digest, lower-case hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    # Some systems (Windows, a few network file systems) cannot open or sync a folder;
    # the rename itself is atomic there too.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def adopt_file(temporary: Path, path: Path) -> None:
    """Give a finished temporary file its final name, durably.

    Args:
        temporary: a complete file on the same file system as `path`.
        path: its final name; a file already there is replaced.

    Raises:
        OSError: syncing or renaming failed.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes, *, durably: bool = True) -> None:
    """Write a file that is at any moment either absent, the old one or the whole new one.

    Args:
        path: where to; missing parent folders are created.
        data: the content.
        durably: whether it must survive a power cut, which takes some milliseconds.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(_temporary_name(path.name, os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        temporary.write_bytes(data)
        if durably:
            adopt_file(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        size = f" ({len(data)} bytes)" if error.errno == errno.ENOSPC else ""
        raise UserError(f"cannot write {path}{size}: {error.strerror or error}") from error
    finally:
        # Where the disk is read-only or gone, the reason has been told already.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def gzipped(data: bytes) -> bytes:
    """A gzip file of the data, the same bytes from every Python with the same zlib.

    Python's own writer changed: up to 3.12 it names Unix as the system, from 3.13 on none.
    """
    deflate = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    # Deflate, no flags, no time, best compression, Unix (RFC 1952).
    header = bytes.fromhex("1f8b0800 00000000 0203")
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _temporary_name(name: str, process: int) -> str:
    return f".tmp-{name}-{platform.node()}-{process}-{threading.get_ident()}"


def _remove_stale(path: Path) -> None:
    """Removes what writers of this file left that were killed on this machine."""
    start = f".tmp-{path.name}-{platform.node()}-"
    for stale in path.parent.iterdir():
        if stale.name.startswith(start):
            process = stale.name.removeprefix(start).partition("-")[0]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                stale.unlink(missing_ok=True)


def restored(path: Path | str) -> str:
    """How to bring an output of DVC back, for a message.

    It is deleted first: DVC takes a file whose size and time are those it knows for intact.
    """
    return f"restore it with: rm -rf {path} && dvc checkout {path}; no better? make verify"


def project_root() -> Path:
    """The main checkout, also from the temporary copies that DVC makes for queued experiments."""
    return Path(os.environ.get("DVC_ROOT", "."))


def is_temporary_copy() -> bool:
    """Whether this is one of these copies: they hold what git or DVC tracks, and nothing else."""
    return project_root().resolve() != Path.cwd().resolve()
