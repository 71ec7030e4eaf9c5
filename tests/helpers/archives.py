"""Archives as data sets come in: tars, Debian packages, pickles of Python 2; and scripted package
managers that deliver them."""

import io
import lzma
import struct
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        _fill(archive, members)
    return path


def write_deb(path: Path, files: Mapping[str, bytes], *, packed: str = "xz") -> Path:
    """A Debian package with these files, by their paths from the root."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        _fill(archive, {f".{name}": content for name, content in files.items()})
    data = lzma.compress(tar.getvalue()) if packed == "xz" else tar.getvalue()
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(b"odd"),
        f"data.tar.{packed}": data,
    }
    content = b"!<arch>\n"
    for name, member in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(member):<10}`\n".encode()
        content += member + b"\n" * (len(member) % 2)
    path.write_bytes(content)
    return path


def _fill(archive: tarfile.TarFile, members: Mapping[str, bytes | tarfile.TarInfo]) -> None:
    for name, content in members.items():
        if isinstance(content, tarfile.TarInfo):
            archive.addfile(content)
            continue
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def python2_pickle(
    images: np.ndarray[Any, Any],
    labels: list[int],
    dtype: bytes = b"u1",
    key: bytes = b"labels",
) -> bytes:
    """Spell out, instruction by instruction, what Python 2's cPickle wrote for a batch."""
    data = images.tobytes()
    shape = b"".join(b"M" + struct.pack("<H", length) for length in images.shape)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + (b"(K\x01" + shape + b"\x86")
        + (b"cnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01\x87R")
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<i", len(data)) + data + b"tb")
    )
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    start = b"\x80\x02}(U" + bytes([len(key)]) + key
    return start + b"](" + numbers + b"eU\x04data" + array + b"u."


def write_program(folder: Path, name: str, body: str) -> None:
    """A program of this name that runs the given lines of Python."""
    program, script = folder / f"{name}.py", folder / name
    program.write_text(f"import sys\n{body}\n")
    # Through the shell: a first line cannot name an interpreter whose path holds a space.
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{program}" "$@"\n')
    script.chmod(0o755)
