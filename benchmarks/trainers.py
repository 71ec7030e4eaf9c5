"""The engine beside the usual trainer and beside the limit: ``make bench``.

Every trainer is a process of its own (worker.py), so that none profits from another's settings, and
waits while the others run. They take turns (A B C A B C ...), so that a machine that slows down
slows them all; each ratio is taken within a round. "two at once" are two processes of one thread
each that run at the same time, as ``make repro`` trains on two cores.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from worker import Job

from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.backbones import used_backbone
from cifar_tricks.training.device import choose_device, device_name
from cifar_tricks.training.recipe import TRAIN_FILE

RESULTS = Path("benchmarks/results.json")
KEYS = ("reference-baseline", "model1-baseline", "model2-baseline", "improve-best", "transfer")
USUAL = ("usual, 0 workers", "usual, 2 workers", "usual, two at once")
# Fewer steps of a GPU are too short to be measured.
LEAST_STEPS = {"cpu": 2, "cuda": 300}
SEEDS_AT_ONCE = 10
BUSY = 0.15  # cores that others may use before a measurement counts as disturbed


class Worker:
    """A process that trains when told to."""

    def __init__(self, job: Job) -> None:
        source = str(Path(__file__).with_name("worker.py"))
        self.process = subprocess.Popen(
            [sys.executable, source, json.dumps(asdict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "STARTED": str(time.time())},
        )
        self.facts = self.answer()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("error: a trainer has ended; its message is above")
        return dict(json.loads(line))

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


class Way:
    """One or more workers that run at the same time."""

    def __init__(self, jobs: Sequence[Job], batch_size: int) -> None:
        self.workers = [Worker(job) for job in jobs]
        self.images = batch_size * sum(job.seeds for job in jobs)
        self.steps = 4
        self.speeds: list[float] = []
        self.run()  # warm
        self.others = 0.0

    def run(self) -> float:
        """Images per second of all workers together."""
        for worker in self.workers:
            worker.tell(f"steps {self.steps}")
        seconds = max(worker.answer()["seconds"] for worker in self.workers)
        return self.steps * self.images / float(seconds)

    def calibrate(self, seconds: float, *, least: int = 2) -> None:
        """Chooses the number of steps, at least so many, for a measurement of about this length."""
        self.steps = max(least, self.steps)
        self.steps = max(least, round(seconds * self.run() / self.images))

    def measure(self) -> None:
        """Adds a measurement, and notes how much of the machine others used meanwhile."""
        with others_load() as load:
            self.speeds.append(self.run())
        self.others = max(self.others, load[0])

    def validation(self) -> float | None:
        """Images per second of a validation; None where there is none."""
        speeds = []
        for _ in range(2):
            self.workers[0].tell("validate")
            answer = self.workers[0].answer()
            if not answer["images"]:
                return None
            speeds.append(answer["images"] / answer["seconds"])
        return max(speeds)


@contextlib.contextmanager
def others_load() -> Iterator[list[float]]:
    """Cores' worth of CPU that processes other than this one's children use within the block."""
    result = [0.0]
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]

    def used() -> tuple[float, float]:
        total = psutil.cpu_times()
        own = 0.0
        for process in tree:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                own += times.user + times.system
        return total.user + total.nice + total.system, own

    start, (total, own) = time.perf_counter(), used()
    yield result
    total_after, own_after = used()
    elapsed = time.perf_counter() - start
    result[0] = max(0.0, (total_after - total - (own_after - own)) / elapsed)


def ways(
    key: str, *, augment: bool, cores: int, compiled: bool, device: str
) -> dict[str, list[Job]]:
    """All trainers of one net; several trainings at once are processes on a CPU, seeds on a GPU."""
    one = Job(way="usual", key=key, augment=augment, threads=cores)
    half = replace(one, threads=1)
    engine, limit = replace(one, way="engine"), replace(one, way="limit", augment=False)
    result = {
        "usual, 0 workers": [one],
        "usual, 2 workers": [replace(one, workers=2)],
        "limit, fp32": [limit],
        "limit, bf16": [replace(limit, precision="bf16")],
        "engine, fp32": [engine],
        "engine, bf16": [replace(engine, precision="bf16")],
    }
    if device == "cuda" and "transfer" not in key:
        several = replace(engine, precision="bf16", seeds=SEEDS_AT_ONCE)
        result[f"engine, bf16, {SEEDS_AT_ONCE} seeds"] = [several]
    elif device == "cpu" and cores > 1:
        pair = replace(engine, threads=1)
        result["usual, two at once"] = [half, half]
        result["engine, fp32, two at once"] = [pair, pair]
        result["engine, bf16, two at once"] = [replace(pair, precision="bf16")] * 2
    if compiled and not augment and "transfer" not in key:
        result["compiled limit, fp32"] = [replace(limit, way="compiled")]
        result["compiled limit, bf16"] = [replace(limit, way="compiled", precision="bf16")]
    return result


def compare(
    jobs: dict[str, list[Job]], batch_size: int, *, seconds: float, rounds: int, device: str
) -> dict[str, dict[str, Any]]:
    """Medians, spreads and ratios round by round of all ways to train one net."""
    made = {name: Way(parts, batch_size) for name, parts in jobs.items()}
    for way in made.values():
        way.calibrate(seconds, least=LEAST_STEPS[device])
    for _ in range(rounds):
        for way in made.values():
            way.measure()
    usual = _best(made, USUAL[:2])
    rows = {}
    for name, way in made.items():
        limit = made.get(f"limit, {jobs[name][0].precision}")
        one = way.images == batch_size
        rows[name] = {
            "images_per_second": round(statistics.median(way.speeds), 1),
            "ratio_to_usual": _ratio(way.speeds, usual),
            # Whoever trains several nets with the usual trainer could start two of it as well.
            "ratio_to_best_usual": _ratio(way.speeds, _best(made, USUAL)),
            "ratio_to_limit": _ratio(way.speeds, limit.speeds) if limit and one else None,
            "validation_images_per_second": _rounded(way.validation()) if one else None,
            "others_load": round(way.others, 2),
            **{fact: _rounded(value) for fact, value in way.workers[0].facts.items()},
            "rounds": [round(speed, 1) for speed in way.speeds],
        }
    for way in made.values():
        for worker in way.workers:
            worker.close()
    return rows


def sections(
    path: Path, device: str, about: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to be written, and the part of it that belongs to the device.

    That of a GPU stands beside that of the CPU. Measurements of other nets are kept where machine
    and PyTorch are the same.
    """
    whole = json.loads(path.read_text()) if path.exists() else {"nets": {}}
    before = whole.get("gpu", {}) if device == "cuda" else whole
    same = all(before.get(name) == about[name] for name in ("machine", "torch"))
    section = about | {"nets": before["nets"] if same else {}}
    if device == "cuda":
        whole["gpu"] = section
        return whole, section
    section |= {"gpu": whole["gpu"]} if "gpu" in whole else {}
    return section, section


def _best(made: dict[str, Way], names: Sequence[str]) -> list[float]:
    """The fastest of these ways, round by round."""
    return [
        max(round_) for round_ in zip(*(made[n].speeds for n in names if n in made), strict=True)
    ]


def _ratio(speeds: Sequence[float], others: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(speeds, others, strict=True)), 3)


def _rounded(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


def main() -> None:
    """Prints a table, writes ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", nargs="+", default=KEYS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each trainer")
    parser.add_argument("--compile", action="store_true", help="the limit with torch.compile too")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not Path(TRAIN_FILE).exists():
        print(f"error: {TRAIN_FILE} is missing: make repro fetches it", file=sys.stderr)
        sys.exit(2)
    with others_load() as load:
        time.sleep(2)
    if load[0] > BUSY:
        print(f"warning: other programs use {load[0]:.1f} cores", file=sys.stderr)
    known = variants(load_params(), "full", backbone=used_backbone())
    cores = os.cpu_count() or 1
    device = choose_device("auto")
    about: dict[str, Any] = {
        "machine": device_name(device),
        "platform": platform.platform(terse=True),
        "cores": cores,
        "torch": torch.__version__,
        "others_load_at_start": round(load[0], 2),
    }
    whole, result = sections(args.output, device.type, about)
    print(
        f"{'':36}{'trainer':28}{'images/s':>9}{'min':>9}{'max':>9}"
        f"{'x usual':>9}{'x best':>9}{'x limit':>9}"
    )
    for given in args.keys:
        key = next(k for k in known if k == given or (given, k[:9]) == ("transfer", "transfer-"))
        # A frozen trunk runs once per image, so its images stay as they are.
        for augment in (False,) if given == "transfer" else (False, True):
            title = key + (", augmented" if augment else "")
            jobs = ways(
                key, augment=augment, cores=cores, compiled=args.compile, device=device.type
            )
            rows = compare(
                jobs,
                known[key].recipe.batch_size,
                seconds=args.seconds,
                rounds=args.rounds,
                device=device.type,
            )
            result["nets"][title] = rows
            for name, row in rows.items():
                print(_line(title, name, row), flush=True)
            args.output.write_text(json.dumps(whole, indent=2) + "\n")


def _line(title: str, name: str, row: dict[str, Any]) -> str:
    low, high = min(row["rounds"]), max(row["rounds"])
    limit = row["ratio_to_limit"] or ""
    busy = " disturbed" if row["others_load"] > BUSY else ""
    return (
        f"{title:36}{name:28}{row['images_per_second']:>9}{low:>9}{high:>9}"
        f"{row['ratio_to_usual']:>9}{row['ratio_to_best_usual']:>9}{limit:>9}{busy}"
    )


if __name__ == "__main__":
    main()
