"""What a GPU does with the engine, in parts that fit a machine that is at hand for minutes.

    python benchmarks/gpu.py check profile seeds bench --minutes 4 --output OUT
    python benchmarks/gpu.py study --minutes 8 --output OUT [--keys model2-adam ...]

It needs neither DVC nor MLflow. Each part writes OUT/<part>.json, whole at any time, and begins
nothing that would not end in time; `study` writes OUT/records.tar.gz too. Without a GPU it tries
the same on the CPU, with tiny nets.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import signal
import sys
import tarfile
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))  # a bare machine has the checkout and nothing installed

import torch

from cifar_tricks.base.errors import Interrupted, UserError, exit_code
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.parameters.schema import Params
from cifar_tricks.runs.folders import record_file
from cifar_tricks.training.device import choose_device, device_name, prepare

# A training that is cut short saves its state and frees the GPU.
SECONDS_TO_END = 6.0
PARTS = ("check", "profile", "seeds", "bench", "study")


class Report:
    """A JSON file that is whole at any time, and a deadline.

    Args:
        path: the file.
        ends: when all has to be over, of ``time.monotonic``.
    """

    def __init__(self, path: Path, ends: float) -> None:
        self.path, self.ends = path, ends
        self.content: dict[str, Any] = {}

    def has_time(self, seconds: float) -> bool:
        """Whether so much of it is left."""
        return self.ends - time.monotonic() > seconds

    def add(self, name: str, figures: Any) -> None:
        """Writes a figure down at once."""
        self.content[name] = figures
        write_atomically(self.path, to_json(self.content))
        print(f"{self.path.stem}: {name}: {figures}", flush=True)

    def skip(self, names: Sequence[str]) -> None:
        """Says what was not begun, because it would not have ended in time."""
        self.add("not begun", list(names))


def study(report: Report, args: argparse.Namespace) -> bool:
    """Trains real variants, all seeds of one at once on a GPU, and packs their records.

    Returns:
        Whether none of them failed.
    """
    from cifar_tricks.parameters.ablation import spelled_out
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.variants import trainable_variants

    data = args.data.resolve()
    for name in ("train", "test"):
        if not (data / f"dataset/{name}.safetensors").exists():
            raise UserError(f"{data}/dataset/{name}.safetensors is missing: see --data")
    params = load_params(ROOT / "params.yaml")
    if args.scale not in params.scales:
        raise UserError(f"--scale {args.scale}: {choose_from(args.scale, params.scales)}")
    params = params.model_copy(update={"scale": args.scale, "device": args.device})
    if unknown := set(args.seeds) - set(params.seeds):
        raise UserError(f"--seeds {min(unknown)}: scale {args.scale} plans {list(params.seeds)}")
    # In a folder of its own, where nothing is on record, and which goes with the weights in it.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("data").symlink_to(data)
        known = trainable_variants(params, ablation=True)
        keys = spelled_out(args.keys, known)
        for key in keys:
            if key not in known:
                raise UserError(f"--keys {key}: no such variant; {choose_from(key, known)}")
        return _train(report, params, keys or [*trainable_variants(params)], args)


def _train(report: Report, params: Params, keys: list[str], args: argparse.Namespace) -> bool:
    from cifar_tricks.commands.record import record_or_tell

    archive, longest, failed = args.output / "records.tar.gz", 0.0, 0
    for place, key in enumerate(keys):
        if not report.has_time(1.5 * longest + 5):
            report.skip(keys[place:])
            break
        start = time.monotonic()
        seeds = args.seeds or list(params.seeds)
        with _ended_in_time(report.ends):
            code = record_or_tell(params, key, seeds)
        longest = max(longest, time.monotonic() - start)
        if Path("records").exists():
            part = archive.with_suffix(".part")
            with tarfile.open(part, "w:gz") as packed:
                packed.add("records")
            part.replace(archive)
        done = [seed for seed in seeds if record_file(params.scale, key, seed).exists()]
        report.add(key, {"seconds": round(time.monotonic() - start, 2), "recorded": done})
        if code >= 128 and not report.has_time(SECONDS_TO_END):
            report.add("cut short", key)
            report.skip(keys[place + 1 :])
            break
        failed = code or failed
        if failed >= 128:  # a signal
            break
    return not failed


@contextlib.contextmanager
def _ended_in_time(ends: float) -> Iterator[None]:
    """Ends a training as SIGTERM does, SECONDS_TO_END before ``ends``: nobody knows how long the
    first one takes."""

    def end() -> None:
        if not over.wait(max(0.0, ends - SECONDS_TO_END - time.monotonic())):
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(number: int, _: object) -> NoReturn:
        raise Interrupted(number)  # before the training listens itself

    over, previous = threading.Event(), signal.signal(signal.SIGTERM, stop)
    timer = threading.Thread(target=end)
    timer.start()
    try:
        yield
    finally:
        over.set()
        timer.join()
        signal.signal(signal.SIGTERM, previous)


def run_part(part: str, report: Report, args: argparse.Namespace, device: torch.device) -> bool:
    """Runs one part; returns whether all of it was as it should be."""
    if part == "study":
        return study(report, args)
    if part == "check":
        from gpu_check import check

        return check(report, device)
    import gpu_measure

    getattr(gpu_measure, part)(report, device, args.images)
    return True


def _run(argv: Sequence[str] | None) -> int:
    args = _arguments(argv)
    ends = time.monotonic() + 60 * args.minutes
    device = choose_device(args.device)
    args.output.mkdir(parents=True, exist_ok=True)
    args.output = args.output.resolve()
    prepare(device, threads=1)
    about = {
        "machine": device_name(device),
        "device": device.type,
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "connections": os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS"),
    }
    good = True
    for part in args.parts:
        report = Report(args.output / f"{part}.json", ends)
        report.add("about", about)
        try:
            good &= run_part(part, report, args, device)
        except (RuntimeError, AssertionError) as error:  # the next part may still tell something
            traceback.print_exc()
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            report.add("error", reason)
            good = False
    return 0 if good else 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} -h lists what is valid")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = _Parser(description=__doc__, formatter_class=layout)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--minutes", type=_minutes, default=4.0, help="all parts together")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--images", type=_images, default=50_000, help="random ones, to measure")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="of study: has dataset/")
    parser.add_argument("--scale", default="full_gpu", help="of study, in params.yaml")
    parser.add_argument("--keys", nargs="+", default=[], help="of study, in this order")
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="of study; default: all")
    return parser.parse_args(argv)


def _images(text: str) -> int:
    if not text.isdecimal() or not 1000 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text}: valid: 1000 to 1000000")
    return int(text)


def _minutes(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text}: valid: a number above 0")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts; returns 0, 1 where something was wrong, 2 for a user's mistake."""
    return exit_code(lambda: _run(argv))


if __name__ == "__main__":
    sys.exit(main())
