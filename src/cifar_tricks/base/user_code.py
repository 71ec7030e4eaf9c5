"""Code of the user's own that params.yaml names: where it lies, and which version of it."""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from cifar_tricks.base.sources import imported_names


def code_version(target: str, root: Path) -> str:
    """Which code an import path stands for: ``sha256:`` and the hash of its files in a checkout,
    or an installed package's name and version.

    Args:
        target: e.g. ``my_nets.TinyNet``.
        root: of the checkout; ``my_nets.py`` lies in it, or a folder ``my_nets``.

    Raises:
        ValueError: it is in neither place, or cannot be read.
    """
    top = target.partition(".")[0]
    installed = _installed(top, root)
    if files := own_files(target, root):
        if installed or top in sys.builtin_module_names:
            raise ValueError(f"{files[0].name} has the name of an installed module; rename it")
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
        return f"sha256:{digest.hexdigest()}"
    if top in sys.builtin_module_names:
        return f"Python {platform.python_version()}"
    if installed is None:
        raise ValueError(f"there is no {top}.py in {root}, and no package {top} is installed")
    origin = installed.origin or next(iter(installed.submodule_search_locations or ()), "")
    if not is_installed(Path(origin)):
        raise ValueError(
            f"{origin} lies outside: put it into {root}, where DVC and other machines see it"
        )
    return _version(top)


def own_files(target: str, root: Path) -> list[Path]:
    """The files of a checkout that an import path stands for, with all of it that they import, the
    first module's first; none where it is not there.

    Raises:
        ValueError: one cannot be read as Python, or is a link that leads outside.
    """
    wanted, files = [target.partition(".")[0]], dict[Path, None]()
    while wanted:
        name = wanted.pop(0)
        file, folder = root / f"{name}.py", root / name
        for path in [file] if file.is_file() else sorted(folder.rglob("*.py")):
            if path not in files:
                files[path] = None
                wanted += [one.partition(".")[0] for one in _imports(path, root)]
    return list(files)


def _imports(path: Path, root: Path) -> list[str]:
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{path.relative_to(root)} is a link that leads out of {root}")
    try:
        return list(imported_names(path.read_bytes()))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{path.relative_to(root)}{line}: not Python: {reason}") from error
    except OSError as error:
        raise ValueError(f"{path.relative_to(root)} cannot be read: {error.strerror}") from error


def is_installed(path: Path) -> bool:
    """Whether a file belongs to this Python or to a package that is installed in it."""
    found = (path, path.resolve())
    prefixes = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix)}
    prefixes |= {prefix.resolve() for prefix in prefixes}
    return any(one.is_relative_to(prefix) for one in found for prefix in prefixes)


def _installed(top: str, root: Path) -> ModuleSpec | None:
    """What Python would import by this name without the checkout's root."""
    places = [place for place in sys.path if Path(place or ".").resolve() != root.resolve()]
    return PathFinder.find_spec(top, places)


def _version(top: str) -> str:
    try:
        return f"{top} {metadata.version(top)}"
    except metadata.PackageNotFoundError:
        for name in metadata.packages_distributions().get(top, ()):
            return f"{name} {metadata.version(name)}"
    return f"Python {platform.python_version()}"
