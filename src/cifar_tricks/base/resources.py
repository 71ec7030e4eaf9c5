"""Cores, memory and GPU that this process may really use, whatever the machine has.

Every function takes the root of the file system, so that made-up trees can stand in for it.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

SYSTEM = Path("/")
# Of cgroups of both versions; `high` slows a group down until it stands still.
MEMORY_FILES = ("memory.max", "memory.high", "memory.limit_in_bytes")


def cores(root: Path = SYSTEM) -> float:
    """Cores: of the machine, of this process's affinity, and of the quotas of its groups.

    Returns:
        More than 0; a quota may leave half a core.
    """
    machine = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        machine = len(os.sched_getaffinity(0))
    return min([float(machine), *_quotas(root)])


def memory(root: Path = SYSTEM) -> int:
    """Bytes: of the machine, of this process's groups, and of its own limits (``ulimit -v``)."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    for folder in _groups(root, "memory"):
        texts = (_read(folder / name) for name in MEMORY_FILES)
        limits += [int(text) for text in texts if text.isdecimal()]
    return min(limits)


def has_gpu(root: Path = SYSTEM) -> bool:
    """Whether an NVIDIA GPU is there that this process may see; PyTorch is not asked."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "all").split(",")[0].strip()
    if shown in ("", "-1") or version("torch").endswith("+cpu"):
        return False
    # A container may be given the third one alone. In WSL2 Windows holds the devices.
    in_wsl = (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib/libcuda.so.1").exists()
    return in_wsl or any((root / "dev").glob("nvidia[0-9]*"))


def _quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu"):
        both = _read(folder / "cpu.max").split()
        both = both or [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        # No limit is "max" in version 2, -1 in version 1.
        if len(both) == 2 and all(text.isdecimal() and int(text) for text in both):
            yield int(both[0]) / int(both[1])


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it: each may set a limit."""
    paths = _paths(root, controller)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        name = {"cgroup2": "", "cgroup": controller}.get(kind)
        if name is None or name not in paths or name not in ["", *options.split(",")]:
            continue
        # A container may see only a part of the tree, and its own path from the top of the whole.
        top, point = (_unescaped(text) for text in mount.split()[3:5])
        path = Path(paths[name])
        inner = path.relative_to(top) if path.is_relative_to(top) else Path()
        if ".." in inner.parts:
            inner = Path()
        where = root / point.lstrip("/")
        yield from (where / part for part in (inner, *inner.parents))


def _paths(root: Path, controller: str) -> dict[str, str]:
    """This process's group by version: under "" that of version 2."""
    found = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            found[controller if controllers else ""] = path
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


def _unescaped(text: str) -> str:
    """Spaces and the like stand in mountinfo as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)
