"""``make share``: trains one's part of a study and puts each seed on record as it ends.

    python -m cifar_tricks share --seeds 0-2 --jobs 2 model1-adam model2-adam

The first seed of all variants, then the second, and so on: an even study at any time. What is on
record is left out, so that several people or machines go on from each other's commits.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.commands.jobs import has_gpu, num_jobs
from cifar_tricks.commands.processes import Commands, fetch_data, running_alone
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import record_file
from cifar_tricks.training.backbones import used_backbone

Job = tuple[str, list[int]]


def train_and_record(jobs: str, seeds: str, keys: Sequence[str]) -> int:
    """Trains and records.

    Args:
        jobs: trainings at once: auto, or a number.
        seeds: all, or numbers and ranges such as 0-2,5.
        keys: variants, also several in one string; none for all.

    Returns:
        The exit code of the first training that failed.

    Raises:
        UserError: a mistake in one of them or in params.yaml, no data, or it runs here already.
        Interrupted: a signal came; the states are saved.
    """
    params = load_params()
    todo = list(planned(params, " ".join(keys).split(), chosen_seeds(seeds, params)))
    at_once = num_jobs(jobs, params)
    with running_alone("make share") as commands:
        code = fetch_data(commands) or _run(commands, todo, at_once)
    paths = [record_file(params.scale, key, seed) for key, chosen in todo for seed in chosen]
    done = sum(path.exists() for path in paths)
    print(f"{done} of {len(paths)} are on record; commit records/")
    return code


def planned(params: Params, keys: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
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
        command = [sys.executable, "-m", "cifar_tricks.commands.record", name, *map(str, seeds)]
        if code := commands.run(command, lines=True):
            with lock:
                failed.append(code)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, todo))
    return failed[0] if failed else 0
