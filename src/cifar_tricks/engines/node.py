"""What a node does: trains in a workspace of its own, which a later call finds again.

    studies/<hash>/        code and params.yaml as they were shipped, named by their hash
    data/<sha256>          what the trainings read
    records/ resume/ logs/ what came of them, and the states of those that have not ended

It knows no engine and needs nothing but Python, so that an engine can ship it as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import platform
import select
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The training ends in order, its state saved, when the shell is gone that started it: however the
# engine ends the process that waits for the shell.
SHELL = 'CIFAR_TRICKS_PARENT=$$ "$@"; exit $?'
SECONDS_TO_END = 8.0
KEPT = ("records", "resume", "logs")


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job for a node.

    Args:
        bundle: hash of the code.
        data: sha256 of each file.
        command: arguments of Python that train and record, in a checkout.
        scale: of params.yaml.
        key: of the variant.
        seeds: of it.
        gpu: whether it may use one.
    """

    bundle: str
    data: dict[str, str]
    command: list[str]
    scale: str
    key: str
    seeds: list[int]
    gpu: bool


def root() -> Path:
    """Where this node keeps what it was sent: ``CIFAR_TRICKS_NODE``, or a folder of the user's."""
    given = os.environ.get("CIFAR_TRICKS_NODE")
    return Path(given) if given else Path.home() / ".cache/cifar-tricks"


def make_workspace(root: Path, bundle: str, get: Callable[[], bytes]) -> Path:
    """Unpacks the code, where that has not been done.

    Args:
        root: of the node.
        bundle: the code's hash.
        get: brings it.
    """
    folder = root / "studies" / bundle
    with _locked(folder):
        if not (folder / ".complete").exists():
            with zipfile.ZipFile(io.BytesIO(get())) as archive:
                archive.extractall(folder)
            for name in KEPT:
                (root / name).mkdir(exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    (folder / name).symlink_to(root.resolve() / name)
            (folder / ".complete").touch()
    return folder


def put_data(root: Path, folder: Path, name: str, sha256: str, get: Callable[[], bytes]) -> None:
    """Puts a file into the workspace, which is brought once to a node.

    Raises:
        OSError: it arrives damaged, or there is no room.
    """
    kept, target = root / "data" / sha256, folder / name
    with _locked(kept):
        if not kept.exists():
            content = get()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise OSError(f"{name} arrives damaged")
            part = kept.with_name(f"{kept.name}.part")
            part.write_bytes(content)
            part.replace(kept)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(kept, target)


def work(order: Order, get: Callable[[str], bytes]) -> tuple[int, str, dict[int, bytes], str]:
    """Carries out an order.

    Args:
        order: what to train.
        get: brings a file by its name; the code's is "".

    Returns:
        The exit code of the training, its last line, the records by seed, and the node's name.
    """
    here = root()
    folder = make_workspace(here, order.bundle, lambda: get(""))
    for name, sha256 in order.data.items():
        put_data(here, folder, name, sha256, lambda name=name: get(name))  # type: ignore[misc]
    paths = {seed: _record(folder, order.scale, order.key, seed) for seed in order.seeds}
    for path in paths.values():
        # The driver has seen it and does not want it: of another recipe or device.
        path.unlink(missing_ok=True)
    code, last = _train(folder, order)
    records = {seed: path.read_bytes() for seed, path in paths.items() if path.exists()}
    return code, last, records, platform.node()


def _train(folder: Path, order: Order) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONUNBUFFERED": "1"}
    environment.pop("DVC_ROOT", None)
    if not order.gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    output = b""
    with subprocess.Popen(
        ["/bin/sh", "-c", SHELL, "sh", sys.executable, *order.command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        try:
            # Never blocked for long: an engine's cancellation is an exception between two steps.
            while chunk := _read(process.stdout.fileno(), 0.2):
                output = (output + chunk.strip(b"\0"))[-4000:]
        except BaseException:
            process.kill()
            while _read(process.stdout.fileno(), SECONDS_TO_END) not in (b"", b"\0"):
                pass  # until the training, which holds the other end, has saved its state
            raise
    lines = output.decode(errors="replace").split("\n")
    return process.returncode, next((line for line in reversed(lines) if line.strip()), "")


def _read(descriptor: int, seconds: float) -> bytes:
    """What a pipe holds; a null byte where nothing comes in time, nothing at its end."""
    if not select.select([descriptor], [], [], seconds)[0]:
        return b"\0"
    return os.read(descriptor, 65536)


def held(
    root: Path, scale: str, wanted: Sequence[tuple[str, int]]
) -> tuple[dict[tuple[str, int], bytes], set[tuple[str, int]]]:
    """What a node has of some seeds: finished records, and states that can be taken up.

    Args:
        root: of the node.
        scale: of params.yaml.
        wanted: variants and seeds.
    """
    records, begun = {}, set()
    for key, seed in wanted:
        path = _record(root, scale, key, seed)
        if path.exists():
            records[key, seed] = path.read_bytes()
        elif next(root.glob(f"resume/{key}-seed={seed}-*"), None):
            begun.add((key, seed))
    return records, begun


def _record(folder: Path, scale: str, key: str, seed: int) -> Path:
    return folder / "records" / scale / key / f"seed={seed}.json"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Several jobs of a node make the same thing one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
