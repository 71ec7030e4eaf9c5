"""Archives read in memory: members of a tar or a Debian package, arrays of a Python 2 pickle.

Nothing here touches the disk or runs what an archive brings along; callers verify its hash first.
"""

import gzip
import io
import lzma
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np

# Read-me files, package descriptions and the like that lie beside the wanted members.
OTHER_MEMBER_BYTES = 1 << 20
# Headers, padding and all members that are not wanted, together.
REST_BYTES = 8 << 20
# What damaged archives make the readers raise.
UNREADABLE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)


class BadArchive(Exception):
    """The archive is not what it should be; the message says what is wrong with it."""


def read_members(path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """Read members of a gzipped tar by their exact names, in one pass.

    Args:
        path: the archive.
        wanted: the largest acceptable size in bytes of each wanted member, by name.

    Returns:
        The content of every wanted member, by name.

    Raises:
        BadArchive: a wanted member is missing, or any member is neither a regular file nor a
            folder, larger than acceptable, named twice, or points outside of the archive; or all of
            it is much larger than what is wanted.
    """
    try:
        with gzip.open(path) as stream:
            return _read_tar(cast(IO[bytes], stream), wanted)
    except UNREADABLE as error:
        raise BadArchive(f"cannot be read ({error})") from error


def read_deb_members(path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """Read files of a Debian package, as :func:`read_members` does those of a tar.

    Args:
        path: the package.
        wanted: the largest acceptable size in bytes of each wanted file, by its path from the root.

    Returns:
        The content of every wanted file, by its path.

    Raises:
        BadArchive: it is no Debian package, or see :func:`read_members`.
    """
    try:
        with path.open("rb") as file, _data_of_deb(file) as stream:
            members = _read_tar(stream, {f".{name}": size for name, size in wanted.items()})
    except UNREADABLE as error:
        raise BadArchive(f"cannot be read ({error})") from error
    return {name: members[f".{name}"] for name in wanted}


def unzip(data: bytes, most_bytes: int) -> bytes:
    """Inflate a gzip file.

    Raises:
        BadArchive: it is damaged, or inflates to more than `most_bytes`.
    """
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(most_bytes + 1)
    except UNREADABLE as error:
        raise BadArchive(f"cannot be read ({error})") from error
    if len(content) > most_bytes:
        raise BadArchive(f"unpacks to more than {most_bytes} bytes")
    return content


def _data_of_deb(file: IO[bytes]) -> IO[bytes]:
    """The tar with the files of a Debian package, which is an ar archive: see deb(5) and ar(5)."""
    if file.read(8) != b"!<arch>\n":
        raise BadArchive("is no Debian package")
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("latin-1").strip(" /"), int(header[48:58])
        if name.startswith("data.tar"):
            content = io.BytesIO(file.read(size))
            if name.endswith(".xz"):
                return lzma.open(content)
            if name.endswith(".gz"):
                return cast(IO[bytes], gzip.open(content))
            raise BadArchive(f"{name} is packed in a way that is not read")
        file.seek(size + size % 2, io.SEEK_CUR)
    raise BadArchive("has no data.tar")


def _read_tar(stream: IO[bytes], wanted: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with (
        _Bounded(stream, sum(wanted.values()) + REST_BYTES) as bounded,
        tarfile.open(fileobj=bounded, mode="r|") as archive,
    ):
        for member in archive:
            _check_member(member, wanted.get(member.name, OTHER_MEMBER_BYTES))
            if member.name not in wanted:
                continue
            if member.name in found or (file := archive.extractfile(member)) is None:
                raise BadArchive(f"{member.name} is there twice or is no file")
            found[member.name] = file.read()
    if missing := sorted(wanted.keys() - found.keys()):
        raise BadArchive(f"{', '.join(missing)} missing")
    return found


class _Bounded(io.RawIOBase):
    """A stream that ends with an error where more comes out than belongs there.

    The sizes of members are checked one by one, but a tar may hold any number of them, and headers
    of any size, which tarfile reads into memory.
    """

    def __init__(self, stream: IO[bytes], most_bytes: int) -> None:
        self._stream, self._left, self._most = stream, most_bytes, most_bytes

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise BadArchive(f"unpacks to more than {self._most} bytes")
        return content


def _check_member(member: tarfile.TarInfo, most_bytes: int) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise BadArchive(f"{member.name} points outside of the archive")
    if not (member.isreg() or member.isdir()):
        raise BadArchive(f"{member.name} is neither a regular file nor a folder")
    if member.size > most_bytes:
        raise BadArchive(f"{member.name} has {member.size} bytes, at most {most_bytes} expected")


def load_array_pickle(data: bytes) -> Any:
    """Unpickle plain values and uint8 arrays, as Python 2 wrote them; text comes as bytes.

    Args:
        data: the pickle.

    Raises:
        BadArchive: it is damaged or asks for anything but a uint8 array.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except BadArchive:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise BadArchive(f"cannot be unpickled ({type(error).__name__}: {error})") from error


def _new_array(*_: object) -> np.ndarray[Any, Any]:
    """Make the empty array that the pickle's next instruction fills."""
    return np.ndarray((0,), dtype=np.uint8)


def _new_dtype(spec: object, *_: object) -> np.dtype[Any]:
    if spec not in (b"u1", "u1"):
        raise BadArchive(f"holds an array of {spec!r}, not of uint8")
    return np.dtype("u1", False, True)  # a copy: unpickling sets its state


class _ArrayUnpickler(pickle.Unpickler):
    # Own functions instead of the named ones: nothing that the pickle names is ever called.
    _KNOWN = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _new_array,
        ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): _new_dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global of the pickle, if it is one that arrays need."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise BadArchive(f"asks for {module}.{name}") from None
