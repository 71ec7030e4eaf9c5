"""The driver: gives an engine what is missing, and checks and writes what comes back."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from cifar_tricks.base.files import write_atomically
from cifar_tricks.engines.jobs import Engine, Failed, Job, Processes, Trained
from cifar_tricks.engines.study import Study
from cifar_tricks.runs.folders import record_file


def train_jobs(engine: Engine, study: Study, jobs: Sequence[Job], processes: Processes) -> int:
    """Trains what has no record; tells of each seed as it ends.

    Args:
        engine: where.
        study: what.
        jobs: in their order; what is on record is left out.
        processes: of this machine.

    Returns:
        The exit code of the first job that failed, or 0.

    Raises:
        UserError: a damaged record, or the engine cannot be used.
    """
    if engine.remote:
        from cifar_tricks.engines.arrivals import missing

        jobs = missing(study, jobs)
    code, done, total, begun = 0, 0, sum(len(job.seeds) for job in jobs), time.monotonic()
    if not jobs:
        return 0
    for outcome in engine.run(study, jobs, processes):
        if isinstance(outcome, Failed):
            reason = outcome.reason
        else:
            reason = _keep(engine, study, outcome)
            done += not reason
            left = (time.monotonic() - begun) / max(done, 1) * (total - done)
            if engine.remote and not reason:
                print(f"{done} of {total}: {_name(outcome)}, {_told(left)} left", flush=True)
        if reason:
            print(f"error: {_name(outcome)}: {reason}", file=sys.stderr, flush=True)
        if reason or isinstance(outcome, Failed):
            code = code or (outcome.code if isinstance(outcome, Failed) else 1)
    return code


def _keep(engine: Engine, study: Study, trained: Trained) -> str:
    """Writes a record into its place; returns what speaks against it, "" for nothing."""
    if not engine.remote:
        return ""  # the process that trained it has put it there
    from cifar_tricks.engines.arrivals import objection

    reason = objection(study, trained.key, trained.seed, trained.record)
    if not reason:
        path = record_file(study.params.scale, trained.key, trained.seed)
        write_atomically(path, trained.record)
    return reason


def _name(outcome: Trained | Failed) -> str:
    if isinstance(outcome, Failed):
        return str(outcome.job)
    return f"{outcome.key} seed={outcome.seed} on {outcome.where or 'this machine'}"


def _told(seconds: float) -> str:
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"
