"""``make repro``: DVC's own `repro`, with independent trainings side by side.

    python -m cifar_tricks repro --jobs 2

Plain ``dvc repro`` gives the same bytes, one training after the other: the number of threads of a
training is a parameter and does not depend on the number of jobs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ruamel.yaml import YAML

from cifar_tricks import resources
from cifar_tricks.arithmetic import multiply_adds
from cifar_tricks.backbones import CHOICE_FILE, used_backbone
from cifar_tricks.commands import DVC, Commands, running_alone
from cifar_tricks.errors import UserError
from cifar_tricks.files import write_atomically
from cifar_tricks.params import load_params
from cifar_tricks.recipe import IMAGE_CHANNELS, BackboneSpec
from cifar_tricks.schema import Params
from cifar_tricks.variants import Variant, stage_name, variants

LOCK = Path("dvc.lock")
# Peak resident memory of one training on a CPU, measured at scale full without copies: 1.2 GB.
# Copies need up to 0.6 GB more, by their size.
BYTES_PER_JOB = 2 * 1024**3
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


def reproduce(jobs: str) -> int:
    """Runs the pipeline and ends with the path of the report.

    Args:
        jobs: trainings at once: auto, or a number.

    Returns:
        DVC's exit code.

    Raises:
        UserError: a mistake in params.yaml or ``jobs``, or it runs here already.
        Interrupted: a signal came; the states are saved.
        OSError: the folder cannot be written.
    """
    params = load_params()
    at_once = num_jobs(jobs, params)
    with running_alone("make repro") as commands:
        code = _repro(commands, params, at_once)
        sort_lock(LOCK, _stage_names(params))
    return code


def _repro(commands: Commands, params: Params, jobs: int) -> int:
    started = time.time()
    code = commands.run([*DVC, "repro", "augment", "engine"])
    if code == 0 and used_backbone() is None and CHOICE_FILE.stat().st_mtime < started:
        # An earlier run found no weights; DVC takes that for done, so ask the sources again.
        code = commands.run([*DVC, "repro", "--force", "--single-item", "download"])
    if code == 0:
        code = _train_and_report(commands, params, jobs)
    if code == 0:
        print(f"\nThe report: reports/{params.scale}/index.html (report.md for GitHub)")
    return code


def _train_and_report(commands: Commands, params: Params, jobs: int) -> int:
    trainings = list(variants(params).values())
    if used_backbone() is not None:
        code = 0
        if jobs > 1:
            code = _side_by_side(commands, share(trainings, jobs))
            code = code or _side_by_side(commands, [["evaluate", "visualize"], ["exercises"]])
        # A store of MLflow that cannot be reached must not keep `experiment` from being done.
        return code or commands.run([*DVC, "repro", "--keep-going"])
    others = [variant for variant in trainings if variant.group != "transfer"]
    # What comes after the trainings depends on the one that must fail, so it is asked for by name.
    code = _side_by_side(commands, share(others, jobs)) or commands.run(
        [*DVC, "repro", "--single-item", *AFTERWARDS]
    )
    return code or commands.run([*DVC, "repro", "--single-item", "transfer"])


def has_gpu(params: Params) -> bool:
    """Whether trainings run on a GPU; told without the import of PyTorch."""
    return params.device != "cpu" and resources.has_gpu()


def num_jobs(given: str, params: Params) -> int:
    """How many trainings run at once.

    Args:
        given: auto, or a number.
        params: the checked parameters.

    Raises:
        UserError: something else.
    """
    if given != "auto":
        if not given.isdecimal() or int(given) < 1:
            raise UserError(f"JOBS = {given}: valid: auto, or a whole number from 1")
        return int(given)
    if has_gpu(params):
        return 1  # one training already keeps a GPU busy
    threads = params.scales[params.scale].threads
    spare = resources.memory() - int(params.transfer.cache_gb * 1e9)
    return max(1, min(int(resources.cores() // threads), spare // BYTES_PER_JOB))


def _side_by_side(commands: Commands, lists: Sequence[Sequence[str]]) -> int:
    """Runs each list of stages, the lists at the same time; the first exit code that is not 0."""
    # They wait for each other only while DVC writes dvc.lock, not while a stage runs.
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", "--keep-going"]
    with ThreadPoolExecutor(len(lists)) as pool:
        codes = list(pool.map(lambda stages: commands.run([*command, *stages], lines=True), lists))
    return next((code for code in codes if code), 0)


def share(trainings: Sequence[Variant], jobs: int) -> list[list[str]]:
    """Splits trainings into at most ``jobs`` lists of DVC stages of about equal work."""
    shares: list[list[str]] = [[] for _ in range(min(jobs, len(trainings)))]
    work = [0.0] * len(shares)
    # The longest first, each to whoever has least to do.
    for variant in sorted(trainings, key=seconds, reverse=True):
        least = work.index(min(work))
        shares[least].append(stage_name(variant))
        work[least] += seconds(variant)
    return shares


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
    return {*document["stages"], *(stage_name(variant) for variant in variants(params).values())}


def seconds(variant: Variant) -> float:
    """About how long a training takes on one core, start-up and DVC's work included.

    Only the proportions matter here. They were measured in fp32: 35 thousand million multiply-adds
    of a net's forward pass in a second, and what 3.5 million cost for an image in any net.
    """
    net, channels, total = variant.recipe.net, IMAGE_CHANNELS, 3.5e6
    if isinstance(net, BackboneSpec):
        total = 3e8  # the frozen part runs once per image, the trained part in each epoch
    else:
        for layer, (filters, size) in enumerate(
            zip(net.filters, net.feature_map_sizes(), strict=True)
        ):
            out = size * (net.pool_after(layer) or 1)
            total += multiply_adds(
                out, channels=channels, filters=filters, kernel_size=net.kernel_size
            )
            channels = filters
    recipe = variant.recipe
    images = recipe.num_epochs * recipe.steps_per_epoch * recipe.batch_size
    return 5 + images * total / 35e9
