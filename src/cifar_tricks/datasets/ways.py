"""How a data set is had: equivalent ways, each of one file or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.data.archives import BadArchive
from cifar_tricks.data.assets import Asset, Fetched
from cifar_tricks.data.fetch import fetch, kept
from cifar_tricks.data.transport import Limits

# By name, ``train`` and ``test``: ``images`` uint8 (N, 3, size, size), ``labels`` int64 (N,).
Splits = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """Files that together hold a data set.

    Args:
        assets: the files; not empty.
        decode: reads them, given in this order; raises BadArchive.
    """

    assets: tuple[Asset, ...]
    decode: Callable[[Sequence[Path]], Splits]


def load(
    ways: Sequence[Way], downloads: Path, *, limits: Limits | None = None
) -> tuple[Splits, dict[str, Any]]:
    """Reads a data set the first way that works; files that lie there already come first.

    Args:
        ways: in the order in which they are tried.
        downloads: the download folder.
        limits: how patient to be with each source.

    Returns:
        Both splits, and what the manifest says of the files.

    Raises:
        UserError: no way works, or the files do not hold what they should.
    """
    way, files = _files(ways, downloads, limits)
    try:
        splits = way.decode([file.path for file in files])
    except BadArchive as error:
        raise UserError(f"{files[0].path}: {error}") from error
    names = (asset.name for asset in way.assets)
    return splits, {name: file.manifest_entry() for name, file in zip(names, files, strict=True)}


def _files(
    ways: Sequence[Way], downloads: Path, limits: Limits | None
) -> tuple[Way, list[Fetched]]:
    for way in ways:
        files = [file for asset in way.assets if (file := kept(asset, downloads))]
        if len(files) == len(way.assets):
            return way, files
    reasons = []
    for way in ways:
        try:
            return way, [fetch(asset, downloads, limits=limits) for asset in way.assets]
        except UserError as error:
            reasons.append(str(error))
    raise UserError("\n".join(reasons))
