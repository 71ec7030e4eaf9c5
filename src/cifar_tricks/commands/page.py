"""``make page``: the report of what is finished or on record so far; nothing is trained.

    python -m cifar_tricks page

It calls the stages' scripts and leaves ``dvc.lock`` alone: the study is not complete, and DVC would
train the rest.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.processes import fetch_data, running_alone
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import trainable_variants
from cifar_tricks.runs.folders import run_folder
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.publish import forget, publish
from cifar_tricks.runs.records import take_record
from cifar_tricks.runs.reuse import adopt, trained_seeds
from cifar_tricks.runs.seed import STATE, locked

STAGES = ("evaluate --partial", "exercises", "visualize", "champion", "report")


def make_page() -> int:
    """Collects what there is and makes the report.

    Returns:
        The exit code of the first stage that failed.

    Raises:
        UserError: a mistake in params.yaml, nothing is finished, or a damaged record.
    """
    params = load_params()
    with running_alone("make page") as commands:
        if code := fetch_data(commands, params):
            return code
    if not sum(collect(params, key) for key in trainable_variants(params)):
        raise UserError(f"nothing is finished or on record at scale {params.scale}: make share")
    for stage in STAGES:
        name, *options = stage.split()
        print(f"{name} ...", flush=True)
        if code := subprocess.run([sys.executable, f"stages/{name}.py", *options]).returncode:
            return code
    print(f"\nThe report: reports/{params.scale}/index.html (report.md for GitHub)")
    return 0


def collect(params: Params, key: str) -> int:
    """Writes ``runs/<scale>/<key>`` from the seeds that are finished or on record.

    Args:
        params: the checked parameters.
        key: of a variant.

    Returns:
        How many seeds that are; where there are none, nothing is written.

    Raises:
        UserError: no data, a damaged record, or another process trains one of them.
    """
    training = plan(params, key)
    known = trained_seeds(training)
    with locked(training, params.seeds) as seeds:
        found = [
            seed
            for seed in seeds
            if seed.result is not None or (params.records == "use" and take_record(seed))
        ]
        # What runs/ holds already is left as it is, or joined with what is new: other seeds, and
        # the weights of some of which it has only the record.
        if any(
            seed.number not in known or (known[seed.number].origin.recorded and seed.has_weights)
            for seed in found
        ):
            whole = [seed for seed in seeds if seed in found or adopt(seed)]
            publish(whole, run_folder(training.scale, training.variant.key))
            forget(whole, keep=True)
        for seed in seeds:
            if seed.result is None and not (seed.folder / STATE).exists():
                shutil.rmtree(seed.folder)  # made by looking
    return len({*params.seeds} & trained_seeds(training).keys())
