"""``make share``: trains one's part of a study and puts each seed on record as it ends.

    python -m cifar_tricks share --seeds 0-2 --jobs 2 model1-adam model2-adam

The first seed of all variants, then the second, and so on: an even study at any time. What is on
record is left out, so that several people or machines go on from each other's commits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.commands.processes import fetch_data, running_alone
from cifar_tricks.commands.scheduling import BYTES_PER_JOB, num_jobs, tell_device_choice
from cifar_tricks.engines.choice import Wanted, choose_engine
from cifar_tricks.engines.collect import train_jobs
from cifar_tricks.engines.jobs import Job
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.ablation import spelled_out
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import trainable_variants
from cifar_tricks.runs.folders import record_file

# What a process of its own runs, here or on a node.
RECORD = "cifar_tricks.commands.record"


def train_and_record(
    jobs: str,
    seeds: str,
    keys: Sequence[str],
    engine: str = "local",
    engine_address: str = "",
    gpus: str = "",
    sbatch: str = "",
    insecure: bool = False,
    weights: bool = False,
    dry_run: bool = False,
) -> int:
    """Trains and records.

    Args:
        jobs: trainings at once on this machine: auto, or a number.
        seeds: all, or numbers and ranges such as 0-2,5.
        keys: variants, also several in one string; none for all.
        engine: local, ray or slurm.
        engine_address: of Ray's head node.
        gpus: for each training.
        sbatch: options of Slurm.
        insecure: whether a Ray cluster without tokens will do.
        weights: whether they come back from other machines too.
        dry_run: whether Slurm's script is only printed.

    Returns:
        The exit code of the first training that failed.

    Raises:
        UserError: a mistake in one of them or in params.yaml, no data, or it runs here already.
        Interrupted: a signal came; the states are saved.
    """
    params = load_params()
    wanted = Wanted(
        name=engine,
        address=engine_address,
        gpus=gpus,
        sbatch=sbatch,
        insecure=insecure,
        weights=weights,
        dry_run=dry_run,
    )
    names, numbers = chosen_keys(params, keys), chosen_seeds(seeds, params)
    # What this machine has says nothing of the nodes of another engine.
    at_once = num_jobs(jobs, params) if engine == "local" else 1
    chosen = choose_engine(wanted, at_once=at_once, memory=BYTES_PER_JOB)
    gpu = chosen.has_gpu(params.device)
    check_scale(params, gpu=gpu)
    todo = list(planned(names, numbers, gpu=gpu))
    device = ("cuda" if gpu else "cpu") if chosen.remote else ""
    keep = {"record", "weights"} if weights and not dry_run else {"record"}
    study = Study(params, RECORD, device, frozenset(keep))
    with running_alone("make share") as commands:
        if weights or not chosen.remote:
            tell_device_choice(params)
        if dry_run:
            return train_jobs(chosen, study, todo, commands)
        code = fetch_data(commands, params) or train_jobs(chosen, study, todo, commands)
    paths = [record_file(params.scale, key, seed) for key, chosen in todo for seed in chosen]
    done = sum(path.exists() for path in paths)
    print(f"{done} of {len(paths)} are on record; commit records/")
    if chosen.remote and not weights:
        print("their weights stay on the nodes; --weights fetches them (make: WEIGHTS=1)")
    return code


def check_scale(params: Params, *, gpu: bool) -> None:
    """Whether the seeds of the scale may be trained on such devices.

    Raises:
        UserError: they have to come from others.
    """
    wanted, here = params.scales[params.scale].device, "cuda" if gpu else "cpu"
    if wanted not in (None, here):
        raise UserError(
            f"params.yaml: scales.{params.scale}.device = {wanted}: trainings would run on {here} "
            "here; take another scale, or a machine and device of that kind"
        )


def planned(keys: Sequence[str], seeds: Sequence[int], *, gpu: bool) -> Iterator[Job]:
    """What to train, in this order: seed by seed on CPUs, all of a variant at once on GPUs."""
    if gpu:
        yield from (Job(key, list(seeds)) for key in keys)
    else:
        yield from (Job(key, [seed]) for seed in seeds for key in keys)


def chosen_keys(params: Params, given: Sequence[str]) -> list[str]:
    """Variants by key, several in one string too, ``ablation`` for all of that section; where none
    is given, all that can be trained but these.

    Raises:
        UserError: no such variant, or it is left out.
    """
    known = trainable_variants(params, ablation=True)
    keys = spelled_out(" ".join(given).split(), known)
    for key in keys:
        if key not in known:
            raise UserError(f"{key}: no variant has this key; {choose_from(key, known)}")
        if reason := known[key].left_out:
            raise UserError(f"{key} is left out: {reason}")
    ours = trainable_variants(params)
    return keys or [key for key, one in ours.items() if not one.left_out]


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
