"""What `make verify` found, and how it looks at what DVC keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cifar_tricks.base.files import hash_file, restored


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that is not what it should be.

    Args:
        path: the file.
        what: is wrong with it.
        remedy: the command that makes it good, or what else to do.
        delete: whether it may be deleted for that.
        source: a sound copy of it, if there is one.
    """

    path: Path
    what: str
    remedy: str
    delete: bool = False
    source: Path | None = None


class Verification:
    """Counts what is read, and collects what is damaged."""

    def __init__(self) -> None:
        self.num_files = self.num_bytes = 0
        self.damages: dict[Path, Damage] = {}

    def found(self, path: Path, what: str, remedy: str, *, delete: bool = False) -> None:
        """Notes a damage; of several about one file the first."""
        damage = Damage(path=relative(path), what=what, remedy=remedy, delete=delete)
        self.damages.setdefault(relative(path), damage)

    def md5(self, path: Path) -> str | None:
        """Of the file's bytes; None where it cannot be read."""
        try:
            digest = hash_file(path, "md5")
            self.num_bytes += path.stat().st_size
        except OSError:
            return None
        self.num_files += 1
        return digest


def check_cache(verification: Verification, cache: Path) -> None:
    """Every object of DVC's cache."""
    for path in sorted(cache.glob("??/*")):
        if verification.md5(path) != path.parent.name + path.name.removesuffix(".dir"):
            what = "this object of DVC's cache is damaged"
            remedy = f"rm -f {relative(path)}; nothing that is here now needs it"
            verification.found(path, what, remedy, delete=True)


def check_output(verification: Verification, output: Any, cache: Path) -> None:
    """Every file of an output of the pipeline.

    Args:
        verification: takes what is found.
        output: a ``dvc.output.Output``.
        cache: the folder of DVC's cache.
    """
    expected, path = output.hash_info.value, relative(Path(output.fs_path))
    if expected is None:
        return  # not made yet
    stage = output.stage.addressing
    if output.use_cache:
        _say_who_needs(verification, _object(cache, expected), stage, None)
    if not path.exists():
        if not output.use_cache or not _object(cache, expected).exists():
            return  # nothing is lost that was here: dvc repro makes it
        verification.found(path, "missing", f"dvc checkout {path}")
        return
    if expected.endswith(".dir") and not _object(cache, expected).exists():
        # Its list of files is in no cache, as in a fresh clone: only the folder as a whole.
        if not _is_folder(path, expected):
            remedy = f"git checkout -- {path}, or dvc repro --force --single-item {stage}"
            verification.found(path, "not the folder that dvc.lock names", remedy)
        verification.num_files += sum(file.is_file() for file in path.rglob("*"))
        return
    for file, oid in _files(path, expected, cache):
        sound = verification.md5(file) == oid
        if output.use_cache:
            _say_who_needs(verification, _object(cache, oid), stage, file if sound else None)
        if not sound:
            what = "not the file that dvc.lock names"
            remedy = f"rm {file} && dvc repro --single-item {stage}"
            sound = output.use_cache and relative(_object(cache, oid)) not in verification.damages
            if sound and _object(cache, oid).exists():
                remedy = restored(file)
            verification.found(file, what, remedy, delete=output.use_cache)


def _say_who_needs(
    verification: Verification, damaged: Path, stage: str, source: Path | None
) -> None:
    """Replaces the remedy for an object of the cache, if it is damaged.

    Args:
        verification: knows what is.
        damaged: the object.
        stage: makes it.
        source: a sound copy of it; None where there is none.
    """
    if damage := verification.damages.get(relative(damaged)):
        again = f"cp {source} {damage.path}" if source else f"dvc repro --single-item {stage}"
        remedy = f"rm -f {damage.path} && {again}"
        verification.damages[damage.path] = replace(damage, remedy=remedy, source=source)


def _is_folder(path: Path, expected: str) -> bool:
    """Whether a folder's files are those that DVC's hash of the folder stands for."""
    files = [file for file in path.rglob("*") if file.is_file()]
    names = sorted((file.relative_to(path).parts, file) for file in files)
    entries = [{"md5": hash_file(file, "md5"), "relpath": "/".join(name)} for name, file in names]
    listed = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir" == expected


def _files(path: Path, expected: str, cache: Path) -> Iterator[tuple[Path, str]]:
    """The files of an output with the md5 that each must have."""
    if not expected.endswith(".dir"):
        yield path, expected
        return
    try:
        for entry in json.loads(_object(cache, expected).read_bytes()):
            yield path / entry["relpath"], entry["md5"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # told about with the cache


def _object(cache: Path, oid: str) -> Path:
    return cache / oid[:2] / oid[2:]


def relative(path: Path) -> Path:
    """Relative to the current folder where it lies there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
