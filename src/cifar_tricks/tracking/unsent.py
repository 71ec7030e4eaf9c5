"""Records that could not be logged because their store was out of reach: kept until it is back.

Each lies in ``logs/unlogged`` with copies of its files, because what an experiment wrote may be
gone by then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.tracking.logged_run import LoggedRun

CONTENT = "record.json"


def keep(scale: str, logged: LoggedRun) -> None:
    """Keeps a run until :func:`waiting` is asked for it.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = _folder(scale) / logged.tags["identity"]
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    content = _packed(logged, folder)
    write_atomically(folder / CONTENT, to_json(content))  # last: without it nothing is kept


def waiting(scale: str) -> Iterator[tuple[Path, LoggedRun]]:
    """What is kept for a scale, each with the folder to remove once it is logged.

    Raises:
        UserError: a file is damaged.
    """
    for path in sorted(_folder(scale).glob(f"*/{CONTENT}")):
        try:
            logged = _unpacked(json.loads(path.read_bytes()), path.parent)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} is damaged: rm -r {path.parent} gives it up") from error
        yield path.parent, logged


def _folder(scale: str) -> Path:
    return project_root() / "logs" / "unlogged" / scale


def _packed(logged: LoggedRun, folder: Path) -> dict[str, Any]:
    values = {field.name: getattr(logged, field.name) for field in fields(logged)}
    files = []
    for path, target in logged.files:
        number = len(list((folder / "files").iterdir()))
        # A folder for each: the histories of all seeds have the same name.
        copy = Path("files") / str(number) / path.name
        (folder / copy).parent.mkdir()
        shutil.copyfile(path, folder / copy)
        files.append([copy.as_posix(), target])
    curves = [[name, step, value] for (name, step), value in logged.curves.items()]
    children = [_packed(child, folder) for child in logged.children]
    return values | {"files": files, "curves": curves, "children": children}


def _unpacked(values: dict[str, Any], folder: Path) -> LoggedRun:
    return LoggedRun(
        **values
        | {
            "files": tuple((folder / path, target) for path, target in values["files"]),
            "curves": {(name, step): value for name, step, value in values["curves"]},
            "children": tuple(_unpacked(child, folder) for child in values["children"]),
            "times": tuple(values["times"]) if values["times"] else None,
            "known_as": tuple(values.get("known_as", ())),
        }
    )
