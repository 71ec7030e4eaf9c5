"""An image folder as it is listed: its classes, its files, and what is refused.

Every process that reads params.yaml looks here: nothing is decoded, and nothing slow imported.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.base.wording import choose_from, listed, printable
from cifar_tricks.datasets.dataset import is_name

SPLITS = ("train", "test")
# What systems leave behind, beside names that start with a dot.
LEFT_BEHIND = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in a folder with ``train/<class>/`` and ``test/<class>/``.

    Args:
        root: the folder, absolute and free of links.
        class_names: the folders of ``train`` in the order of their names.
        files: of each split, the path below ``root`` and the label of every image, in no order.
        notes: what a reader has to know of it.
    """

    root: Path
    class_names: tuple[str, ...]
    files: Mapping[str, tuple[tuple[str, int], ...]]
    notes: tuple[str, ...]


def list_folder(text: str) -> Listing:
    """Lists an image folder.

    Args:
        text: its path, from the project's own folder where it is relative; ``~`` is home.

    Raises:
        UserError: it is not there, or not what it should be; the line names the file or folder.
    """
    root = _find(text)
    try:
        train, test = (_classes(root, split) for split in SPLITS)
    except OSError as error:
        raise UserError(f"{_shown(error.filename)} cannot be read: {error.strerror}") from error
    names = tuple(sorted(train))
    if empty := [name for name in names if not train[name]]:
        raise UserError(f"{_shown(root / SPLITS[0] / empty[0])} has no images")
    if len(names) < 2:
        has = f"only the class {names[0]}" if names else "no class"
        raise UserError(f"{_shown(root / SPLITS[0])} has {has}; two are needed at least")
    for name in sorted(test.keys() - train.keys()):
        place = _shown(root / SPLITS[1] / name)
        raise UserError(f"{place}: train has no such class; {choose_from(name, names)}")
    if not any(test.values()):
        raise UserError(f"{_shown(root / SPLITS[1])} has no images")
    labels = {name: label for label, name in enumerate(names)}
    files = {
        split: tuple((path, labels[name]) for name, paths in classes.items() for path in paths)
        for split, classes in zip(SPLITS, (train, test), strict=True)
    }
    missing = [name for name in names if not test.get(name)]
    return Listing(root=root, class_names=names, files=files, notes=tuple(_notes(root, missing)))


def is_there(text: str) -> bool:
    """Whether anything lies where the path leads: see :func:`list_folder`."""
    try:
        return _path(text).exists()
    except (OSError, ValueError):
        return True  # whatever it is that cannot be looked at


def _path(text: str) -> Path:
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # ~ and no user of that name: a folder may be called so
        path = path.expanduser()
    # Of the project, not of the copies that DVC makes of it for experiments.
    return (project_root() / path).absolute()


def _find(text: str) -> Path:
    if not text.strip():
        raise UserError("the path is missing: write folder:PATH")
    path = _path(text)
    try:
        if path.is_dir():
            return path.resolve()
        what = "is a file; a folder is needed" if path.exists() else "is not there"
    except (OSError, ValueError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise UserError(f"{_shown(path)} {what}")


def _classes(root: Path, split: str) -> dict[str, list[str]]:
    """The images of a split by their class: paths below the root."""
    folder = root / split
    if not folder.is_dir():
        names = sorted(entry.name for entry in _visible(str(root)))
        has = printable(listed(names, 10))
        raise UserError(f"{_shown(root)} has no folder {split}; it has: {has}")
    found: dict[str, list[str]] = {}
    _check_link(folder, root)
    for entry in _visible(str(folder)):
        path = Path(entry.path)
        if entry.is_symlink():
            _check_link(path, root)
        if not entry.is_dir():
            where = f"{split}/<class>/"
            raise UserError(f"{_shown(path)} belongs to no class: images lie in {where}")
        # The same letters may be written in several ways, and macOS changes one to another.
        name = unicodedata.normalize("NFC", entry.name)
        if not is_name(name):
            raise UserError(f"{_shown(path)}: its name cannot be a class's name; rename it")
        if name in found:
            raise UserError(f"{_shown(path)}: there are two folders of this name")
        found[name] = list(_files(entry.path, root))
    return found


def _files(folder: str, root: Path) -> Iterator[str]:
    start = len(str(root)) + len(os.sep)
    folders = [folder]
    while folders:
        for entry in _visible(folders.pop()):
            if entry.is_symlink():
                _check_link(Path(entry.path), root)
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.is_file():
                yield entry.path[start:]
            else:
                raise UserError(f"{_shown(entry.path)} is no ordinary file")


def _visible(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return [entry for entry in visible if entry.name.lower() not in LEFT_BEHIND]


def _check_link(path: Path, root: Path) -> None:
    """Refuses links to elsewhere, whose files nobody would copy along, and links to folders."""
    if not path.is_symlink():
        return
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{_shown(path)} is a link that leads nowhere") from error
    if not target.is_relative_to(root):
        raise UserError(f"{_shown(path)} is a link that leads outside, to {_shown(target)}")
    if target.is_dir():
        raise UserError(f"{_shown(path)} is a link to a folder; put the folder itself there")


def _notes(root: Path, missing: list[str]) -> Iterator[str]:
    if missing:
        classes = "class" if len(missing) == 1 else "classes"
        yield f"No test images of {len(missing)} {classes}: {listed(missing, 10)}."
    others = sorted(
        printable(entry.name)
        for entry in _visible(str(root))
        if entry.name not in SPLITS and entry.is_dir()
    )
    if others:
        yield f"Not used: {listed(others, 10)}."


def _shown(path: Path | str) -> str:
    return printable(str(path))
