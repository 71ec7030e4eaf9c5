"""What a node keeps, which a later call finds again.

    studies/<hash>/        code and params.yaml as they were shipped, with the data for them
    data/<sha256>          what the trainings read
    records/ resume/ logs/ what came of them, and the states of those that have not ended

It needs nothing but Python, so that an engine can ship it as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

KEPT = ("records", "resume", "logs")


def root() -> Path:
    """Where this node keeps what it was sent: ``CIFAR_TRICKS_NODE``, or a folder of the user's."""
    given = os.environ.get("CIFAR_TRICKS_NODE")
    return Path(given) if given else Path.home() / ".cache/cifar-tricks"


def make_workspace(root: Path, bundle: str, get: Callable[[], bytes]) -> Path:
    """Unpacks the code, where that has not been done.

    Args:
        root: of the node.
        bundle: hash of the code and its data.
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


def find_weights(root: Path, key: str, seed: int, record: bytes) -> bytes | None:
    """The weights of a record, as the training that wrote it left them; None where they are gone.

    Args:
        root: of the node.
        key: of the variant.
        seed: of it.
        record: of that seed.
    """
    wanted = json.loads(record)["run"]["seeds"][str(seed)]["weights_sha256"]
    for path in root.glob(f"resume/{key}-seed={seed}-*/result.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(path.read_bytes())["weights_sha256"] == wanted:
                return (path.parent / "model.safetensors").read_bytes()
    return None


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
        path = record_path(root, scale, key, seed)
        if path.exists():
            records[key, seed] = path.read_bytes()
        elif next(root.glob(f"resume/{key}-seed={seed}-*"), None):
            begun.add((key, seed))
    return records, begun


def running(root: Path) -> list[str]:
    """What is trained on a node now, each with how far it has come.

    Args:
        root: of the node.
    """
    found = []
    for holder in sorted(root.glob("resume/.locks/*.pid")):
        with contextlib.suppress(OSError, ValueError):  # it has just ended, or was killed
            os.kill(int(holder.read_text().partition("\n")[0]), 0)
            found.append(holder.stem.rpartition("-")[0].replace("-seed=", " seed="))
            history = root / "resume" / holder.stem / "history.csv"
            last = history.read_text().strip().rpartition("\n")[2].split(",")
            found[-1] += f" epoch {float(last[1]):.1f}"
    return found


def record_path(folder: Path, scale: str, key: str, seed: int) -> Path:
    return folder / "records" / scale / key / f"seed={seed}.json"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Several jobs of a node make the same thing one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
