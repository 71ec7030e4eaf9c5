"""Fetching an asset: the copy that lies there, else its sources in order, verified."""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import adopt_file, write_atomically
from cifar_tricks.data.assets import Asset, Fetched, Source
from cifar_tricks.data.transport import Limits, SourceFailed, SourceSlow, say, size_of

BY_HAND = "placed by hand"


def fetch(asset: Asset, folder: Path, *, limits: Limits | None = None) -> Fetched:
    """Return a verified copy of an asset: one that lies in the folder, else from its sources.

    Args:
        asset: what to get.
        folder: the download folder; created if missing. One process at a time downloads into it.
        limits: how patient to be with each source; the defaults of `Limits` if None.

    Returns:
        The file, whose hashes were checked in this call.

    Raises:
        UserError: no source delivered, the folder cannot be written or the disk is too full.
    """
    # Looked at before anything is written: a file put into a read-only folder is fine.
    here = kept(asset, folder)
    if here is not None:
        return here
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # a folder that cannot be written is said now, not after the download
        with _only_downloader(folder):
            for stale in folder.glob(".package-*"):  # left by a killed process
                shutil.rmtree(stale, ignore_errors=True)
            return kept(asset, folder) or _from_sources(asset, folder, limits or Limits())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def _only_downloader(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is downloading into {folder}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def kept(asset: Asset, folder: Path) -> Fetched | None:
    """The asset from a file that already lies in the folder under the right name, if one does."""
    for source in asset.sources:
        path = folder / source.file_name
        if source.is_intact(path):
            return _fetched(path, source, _recorded_source(path, source))
    return None


def _fetched(path: Path, source: Source, name: str) -> Fetched:
    return Fetched(path=path, source=name, sha256=source.sha256, num_bytes=source.num_bytes)


def _side_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.source.json")


def _recorded_source(path: Path, source: Source) -> str:
    """Return which source delivered a kept file, so that a rerun writes the same manifest."""
    try:
        record = json.loads(_side_file(path).read_text(encoding="utf-8"))
        return str(record["source"]) if record["sha256"] == source.sha256 else BY_HAND
    except (OSError, ValueError, KeyError, TypeError):
        return BY_HAND


def _from_sources(asset: Asset, folder: Path, limits: Limits) -> Fetched:
    """Try the sources in order, then those that were merely slow again at whatever rate."""
    reasons: dict[Source, str] = {}
    patient = replace(limits, least_bytes_per_second=0.0)
    rounds = [(source, limits) for source in asset.sources]
    for source, patience in rounds:
        try:
            return _obtain(asset, source, folder, patience)
        except SourceFailed as failure:
            reasons[source] = str(failure)
            say(f"{asset.name}: gave up {source.via.name}: {failure}")
            if isinstance(failure, SourceSlow):
                rounds.append((source, patient))
    raise UserError(_nothing_worked(asset, folder, reasons))


def _obtain(asset: Asset, source: Source, folder: Path, limits: Limits) -> Fetched:
    part, path = folder / source.part_name, folder / source.file_name
    resumed = size_of(part)
    _check_space(asset, source, folder, resumed)
    from_where = f"from {source.via.name}" + (f", from byte {resumed} on" if resumed else "")
    say(f"{asset.name}: fetching {source.num_bytes / 1e6:.1f} MB {from_where}")
    start = time.monotonic()
    source.via.download(part, source.num_bytes, limits=limits, label=source.file_name)
    if not source.is_intact(part):
        part.unlink(missing_ok=True)
        if not resumed:
            raise SourceFailed("what it delivers does not have the expected hash")
        # The damage may lie in the bytes of an earlier run; this source is innocent until
        # it has delivered all of them.
        say(f"{asset.name}: the continued file is damaged; fetching all of it")
        return _obtain(asset, source, folder, limits)
    record = {"source": source.via.name, "sha256": source.sha256}
    # Before the rename: a file without its record would pass for one placed by hand.
    write_atomically(_side_file(path), (json.dumps(record, indent=2) + "\n").encode())
    adopt_file(part, path)
    say(f"{asset.name}: {path.name} verified after {time.monotonic() - start:.1f} s")
    return _fetched(path, source, source.via.name)


def _check_space(asset: Asset, source: Source, folder: Path, resumed: int) -> None:
    needed = max(source.num_bytes - resumed, 0) + asset.decoded_bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{asset.name} needs {needed} bytes ({needed / 1e6:.0f} MB) of disk space in {folder},"
            f" but only {free} ({free / 1e6:.0f} MB) are free"
        )


def _nothing_worked(asset: Asset, folder: Path, reasons: dict[Source, str]) -> str:
    lines = [f"{asset.name}: no source delivered it. Tried:"]
    lines += [f"  - {source.via.name}: {reason}" for source, reason in reasons.items()]
    lines.append(f"Run again (it picks up where this run stopped), or put by hand into {folder}:")
    files = {source.file_name: source for source in asset.sources}
    for name, source in files.items():
        damaged = "; the one that lies there is damaged" if (folder / name).exists() else ""
        lines.append(f"  {name} ({source.num_bytes} bytes, sha256 {source.sha256}{damaged})")
    if len(files) > 1:
        lines.append("One of them is enough.")
    return "\n".join(lines)
