"""``make repro``: DVC's own `repro`, with independent trainings side by side.

    python -m cifar_tricks repro --jobs 2

The trainings run before DVC asks for them, so that a process trains many; DVC records what came of
it. Plain ``dvc repro`` gives the same bytes, one training after the other: the number of
threads of a training is a parameter and does not depend on the number of jobs.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ruamel.yaml import YAML

from cifar_tricks.base.files import write_atomically
from cifar_tricks.commands.processes import DVC, Commands, running_alone
from cifar_tricks.commands.scheduling import BYTES_PER_JOB, num_jobs, split_work, tell_device_choice
from cifar_tricks.commands.share import RECORD, check_scale, planned
from cifar_tricks.commands.train import changed_stages, record_stages
from cifar_tricks.engines.choice import Wanted, choose_engine
from cifar_tricks.engines.collect import train_jobs
from cifar_tricks.engines.jobs import Engine
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import (
    Variant,
    planned_variants,
    trainable_variants,
    variants,
)
from cifar_tricks.runs.ahead import forget_ahead, is_ahead
from cifar_tricks.tracking.store import find_store
from cifar_tricks.training.backbones import CHOICE_FILE, used_backbone

LOCK = Path("dvc.lock")
# Runs stages by their names. Two of these wait for each other only while DVC writes dvc.lock, not
# while a stage runs.
STAGES = [*DVC, "--wait-for-lock", "repro", "--single-item", "--keep-going"]
# The stages after the trainings, in their order.
AFTERWARDS = (
    "exercises",
    "evaluate",
    "visualize",
    "champion",
    "report",
    "track",
    "experiment",
)


def reproduce(
    jobs: str,
    engine: str = "local",
    engine_address: str = "",
    gpus: str = "",
    sbatch: str = "",
    insecure: bool = False,
) -> int:
    """Runs the pipeline and ends with the path of the report.

    Args:
        jobs: trainings at once on this machine: auto, or a number.
        engine: local, ray or slurm: where trainings run.
        engine_address: of Ray's head node.
        gpus: for each training.
        sbatch: options of Slurm.
        insecure: whether a Ray cluster without tokens will do.

    Returns:
        DVC's exit code.

    Raises:
        UserError: a mistake in one of them, in params.yaml or MLflow's address, or it runs here
            already.
        Interrupted: a signal came; the states are saved.
        OSError: the folder cannot be written.
    """
    params = load_params()
    find_store()  # a wrong address is told before any work, not by the last stage
    at_once = num_jobs(jobs, params)
    wanted = Wanted(
        name=engine, address=engine_address, gpus=gpus, sbatch=sbatch, insecure=insecure
    )
    chosen = choose_engine(wanted, at_once=at_once, memory=BYTES_PER_JOB)
    if chosen.remote:
        check_scale(params, gpu=chosen.has_gpu(params.device))
    with running_alone("make repro") as commands:
        tell_device_choice(params)
        code = _repro(commands, params, at_once, chosen)
        sort_lock(LOCK, _stage_names(params))
    return code


def _repro(commands: Commands, params: Params, jobs: int, engine: Engine) -> int:
    started = time.time()
    code = commands.run([*DVC, "repro", "augment"])
    if code == 0 and used_backbone() is None and CHOICE_FILE.stat().st_mtime < started:
        # An earlier run found no weights; DVC takes that for done, so ask the sources again.
        code = commands.run([*DVC, "repro", "--force", "--single-item", "download"])
    if code == 0 and engine.remote:
        code = _train_elsewhere(commands, params, engine)
    if code == 0:
        code = _train_and_report(commands, params, jobs)
    if code == 0:
        print(f"\nThe report: reports/{params.scale}/index.html (report.md for GitHub)")
    return code


def _train_and_report(commands: Commands, params: Params, jobs: int) -> int:
    trainings = list(trainable_variants(params).values())
    without = [one.stage for one in planned_variants(params).values() if one not in trainings]
    if code := train_due(commands, params, trainings, jobs):
        return code
    if not without:
        if jobs > 1:
            lists = (["evaluate", "visualize"], ["exercises"])
            code = _side_by_side(commands, [[*STAGES, *stages] for stages in lists])
        # A store of MLflow that cannot be reached must not keep `experiment` from being done.
        return code or commands.run([*DVC, "repro", "--keep-going"])
    # What comes after the trainings depends on the one that must fail, so it is asked for by name.
    code = commands.run([*DVC, "repro", "--single-item", *AFTERWARDS])
    return code or commands.run([*DVC, "repro", "--single-item", *without])


def _train_elsewhere(commands: Commands, params: Params, engine: Engine) -> int:
    """Lets an engine train what DVC would train now; its stages then take it over with its weights,
    as if it had been trained here."""
    trainings = [one for one in trainable_variants(params).values() if not one.left_out]
    by_stage = {variant.stage: variant for variant in trainings}
    due = [by_stage[stage].key for stage, runs in changed_stages(by_stage) if runs]
    gpu = engine.has_gpu(params.device)
    study = Study(params, RECORD, "cuda" if gpu else "cpu", frozenset({"weights"}))
    return train_jobs(engine, study, list(planned(due, params.seeds, gpu=gpu)), commands)


def train_due(commands: Commands, params: Params, trainings: Sequence[Variant], jobs: int) -> int:
    """Trains what DVC would train now, in ``jobs`` processes instead of one for each, and has it
    recorded.

    Returns:
        The exit code of the first that failed; what the others gave is recorded.
    """
    by_stage = {variant.stage: variant for variant in trainings}
    changed = dict(changed_stages(by_stage))
    for stage in by_stage.keys() - changed.keys():
        forget_ahead(params, by_stage[stage])  # recorded by a call that was killed then
    due = [by_stage[stage] for stage, runs in changed.items() if runs]
    left = [variant for variant in due if not is_ahead(params, variant)]
    command = [sys.executable, "-m", "cifar_tricks.commands.train"]
    lists = [[*command, *(one.key for one in share)] for share in split_work(left, jobs)]
    code = _side_by_side(commands, lists) if lists else 0
    if commands.stopped_by is None:
        record_stages(params, by_stage, changed)
    return code


def _side_by_side(commands: Commands, lists: Sequence[Sequence[str]]) -> int:
    """Runs commands at the same time; the first exit code that is not 0."""
    with ThreadPoolExecutor(len(lists)) as pool:
        codes = list(pool.map(lambda words: commands.run(words, lines=True), lists))
    return next((code for code in codes if code), 0)


def sort_lock(path: Path, stages: Container[str]) -> None:
    """Puts what DVC recorded of ``stages`` in the order of their names, and drops the rest.

    DVC adds a stage to the file when it finishes, so trainings side by side leave another order
    each time, and a stage that left dvc.yaml stays. Does nothing where there is no file.
    """
    if not path.exists():
        return
    text = path.read_text("utf-8")
    # A stage begins with its name, two spaces from the margin; what it holds is further in.
    header, *blocks = re.split(r"^(?=  \S)", text, flags=re.MULTILINE)
    kept = sorted(block for block in blocks if block.split(":\n", 1)[0].strip() in stages)
    if kept != blocks:
        write_atomically(path, (header + "".join(kept)).encode())


def _stage_names(params: Params) -> set[str]:
    document = YAML(typ="safe").load(Path("dvc.yaml"))
    return {*document["stages"], *(variant.stage for variant in variants(params).values())}
