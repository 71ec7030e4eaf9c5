"""The hash of all source that a training runs."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def source_hash(roots: Iterable[str]) -> str:
    """sha256 over the source of modules, and of all of this package that they import.

    Args:
        roots: names of modules; others' are left out.

    Raises:
        RuntimeError: the source of one of them is not here: a hash of less would agree with any.
    """
    wanted = [root for root in roots if root.split(".")[0] == PACKAGE.name]
    missing = set(wanted)
    sources: dict[str, bytes] = {}
    while wanted:
        name = wanted.pop()
        path = PACKAGE.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in sources and name.split(".")[0] == PACKAGE.name and path.is_file():
            sources[name] = path.read_bytes()
            wanted += imported_names(sources[name])
    if not sources or (missing := missing - sources.keys()):
        raise RuntimeError(f"no source of {', '.join(sorted(missing)) or 'anything'} in {PACKAGE}")
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(name.encode() + source)
    return digest.hexdigest()


@cache
def imported_names(source: bytes) -> list[str]:
    """Names of the modules that a source imports, packages and functions among them."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
