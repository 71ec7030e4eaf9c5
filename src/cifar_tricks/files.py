"""Files on disk: their hash, and writing them so that a crash never leaves half of one."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from cifar_tricks.errors import UserError


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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is at any moment either absent, the old one or the whole new one.

    Args:
        path: where to; missing parent folders are created.
        data: the content.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
        # Temporary files are private; a data file follows the user's umask like any other.
        temporary.chmod(0o666 & ~_umask())
        adopt_file(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def project_root() -> Path:
    """The main checkout, also from the temporary copies that DVC makes for queued experiments."""
    return Path(os.environ.get("DVC_ROOT", "."))
