"""``make share``: trains one's part of a study and puts each seed on record as it ends.

    python -m cifar_tricks.share --seeds 0-2 --jobs 2 model1-adam model2-adam

The first seed of all variants, then the second, and so on: an even study at any time. What is on
record is left out, so that several people or machines go on from each other's commits.
"""

from __future__ import annotations

import argparse
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cifar_tricks.backbones import used_backbone
from cifar_tricks.claims import AlreadyRunning, sole_writer
from cifar_tricks.commands import Commands
from cifar_tricks.errors import UserError
from cifar_tricks.params import load_params
from cifar_tricks.repro import has_gpu, num_jobs
from cifar_tricks.runs import record_file
from cifar_tricks.schema import Params, choose_from
from cifar_tricks.variants import variants

CLAIM = Path(".dvc/tmp/make-share")
DATA = ("data/cifar10/train.safetensors", "data/augment.done")
Job = tuple[str, list[int]]


def main(argv: Sequence[str]) -> int:
    """Trains and records; returns the exit code, that of the first job that failed."""
    parser = argparse.ArgumentParser(prog="make share", description=__doc__)
    parser.add_argument("--seeds", default="all", help="for example 0-2 or 1,4; default: all")
    parser.add_argument("--jobs", default="auto", help="trainings at once; auto: as many as pay")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="variants; default: all")
    args = parser.parse_args(argv)
    try:
        params = load_params()
        todo = list(jobs(params, args.keys, chosen_seeds(args.seeds, params)))
        at_once = num_jobs(args.jobs, params)
        if missing := [path for path in DATA if not Path(path).exists()]:
            raise UserError(f"{missing[0]} is missing: dvc repro augment")
        commands = Commands()
        with sole_writer(CLAIM), commands.ended_by_signals():
            code = _run(commands, todo, at_once)
    except AlreadyRunning as running:
        print(f"error: make share runs here already, as process {running.process}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if commands.stopped_by is not None:
        print("interrupted; the next make share goes on from here", file=sys.stderr)
        return 128 + commands.stopped_by
    paths = [record_file(params.scale, key, seed) for key, seeds in todo for seed in seeds]
    done = sum(path.exists() for path in paths)
    print(f"{done} of {len(paths)} are on record; commit records/")
    return code


def jobs(params: Params, keys: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """What to train, in this order: seed by seed on a CPU, all seeds of a variant at once on a GPU.

    Raises:
        UserError: no such variant.
    """
    backbone = used_backbone()
    known = variants(params, backbone=backbone)
    for key in keys:
        if key not in known:
            raise UserError(f"{key}: no variant has this key; {choose_from(key, known)}")
    wanted = keys or [key for key in known if backbone or known[key].group != "transfer"]
    if has_gpu(params):
        yield from ((key, list(seeds)) for key in wanted)
    else:
        yield from ((key, [seed]) for seed in seeds for key in wanted)


def chosen_seeds(text: str, params: Params) -> list[int]:
    """Seeds by number and range.

    Raises:
        UserError: something else, or a seed that the scale does not plan.
    """
    if text == "all":
        return list(params.seeds)
    chosen: list[int] = []
    for part in text.replace(" ", ",").split(","):
        bounds = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part)
        if not bounds:
            raise UserError(f"SEEDS = {text}: valid: all, or numbers and ranges such as 0-2,5")
        low, high = int(bounds[1]), int(bounds[2] or bounds[1])
        found = [seed for seed in params.seeds if low <= seed <= high]
        if low not in found or high not in found:
            planned = ", ".join(map(str, params.seeds))
            raise UserError(f"SEEDS = {text}: {part}: scale {params.scale} plans seeds {planned}")
        chosen += [seed for seed in found if seed not in chosen]
    return chosen


def _run(commands: Commands, todo: list[Job], at_once: int) -> int:
    lock, failed = threading.Lock(), []

    def work(job: Job) -> None:
        key, seeds = job
        name = "transfer" if key.startswith("transfer-") else key
        command = [sys.executable, "-m", "cifar_tricks.recording", name, *map(str, seeds)]
        if code := commands.run(command, lines=True):
            with lock:
                failed.append(code)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, todo))
    return failed[0] if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
