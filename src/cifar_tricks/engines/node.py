"""What a node does: it trains in a workspace of its own (:mod:`cifar_tricks.engines.node_store`).

It knows no engine and needs nothing but Python, so that an engine can ship it as it is.
"""

from __future__ import annotations

import os
import platform
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cifar_tricks.engines.node_store import (
    find_weights,
    make_workspace,
    put_data,
    record_path,
    root,
)

# The training ends in order, its state saved, when the shell is gone that started it: however the
# engine ends the process that waits for the shell.
SHELL = 'CIFAR_TRICKS_PARENT=$$ "$@"; exit $?'
SECONDS_TO_END = 8.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job for a node.

    Args:
        bundle: hash of the code and its data.
        data: sha256 of each file.
        command: arguments of Python that train and record, in a checkout.
        scale: of params.yaml.
        key: of the variant.
        seeds: of it.
        gpu: whether it may use one.
        weights: whether they go back too.
    """

    bundle: str
    data: dict[str, str]
    command: list[str]
    scale: str
    key: str
    seeds: list[int]
    gpu: bool
    weights: bool


class Answer(NamedTuple):
    """What became of an order.

    Args:
        code: exit code of the training.
        last: its last line.
        records: by seed.
        weights: likewise; None where there are none.
        where: the node's name.
    """

    code: int
    last: str
    records: dict[int, bytes]
    weights: dict[int, bytes | None]
    where: str


def work(order: Order, get: Callable[[str], bytes]) -> Answer:
    """Carries out an order.

    Args:
        order: what to train.
        get: brings a file by its name; the code's is "".
    """
    here = root()
    folder = make_workspace(here, order.bundle, lambda: get(""))
    for name, sha256 in order.data.items():
        put_data(here, folder, name, sha256, lambda name=name: get(name))  # type: ignore[misc]
    paths = {seed: record_path(folder, order.scale, order.key, seed) for seed in order.seeds}
    for path in paths.values():
        # The driver has seen it and does not want it: of another recipe or device.
        path.unlink(missing_ok=True)
    code, last = _train(folder, order)
    records = {seed: path.read_bytes() for seed, path in paths.items() if path.exists()}
    weights = {}
    for seed, record in records.items() if order.weights else ():
        weights[seed] = find_weights(here, order.key, seed, record)
    return Answer(code, last, records, weights, platform.node())


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
