"""The driver: gives an engine what is missing, and checks and writes what comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from cifar_tricks.engines.jobs import Busy, Engine, Failed, Job, Note, Processes, Trained
from cifar_tricks.engines.study import Study
from cifar_tricks.engines.view import View


def train_jobs(engine: Engine, study: Study, jobs: Sequence[Job], processes: Processes) -> int:
    """Trains what has not been trained; tells of each seed as it ends.

    Args:
        engine: where.
        study: what.
        jobs: in their order; what is here already is left out.
        processes: of this machine.

    Returns:
        The exit code of the first job that failed, or 0.

    Raises:
        UserError: a damaged record, or the engine cannot be used.
    """
    if not engine.remote:
        return _run(engine, study, jobs, processes)
    from cifar_tricks.engines.arrivals import missing, without_weights

    code = 0
    if "record" in study.keep and study.weights:
        fetched = without_weights(study, jobs)
        code = _run(engine, replace(study, train=False), fetched, processes)
    return _run(engine, study, missing(study, jobs), processes) or code


def _run(engine: Engine, study: Study, jobs: Sequence[Job], processes: Processes) -> int:
    if not jobs:
        return 0
    code = 0
    with contextlib.closing(View(sum(len(job.seeds) for job in jobs))) as view:
        for outcome in engine.run(study, jobs, processes):
            if isinstance(outcome, Busy):
                view.busy(outcome.nodes)
            elif isinstance(outcome, Note):
                view.tell(outcome.line)
            else:
                code = _take(engine, study, outcome, view) or code
    return code


def _take(engine: Engine, study: Study, outcome: Trained | Failed, view: View) -> int:
    """Keeps what has come, or tells what has not; the exit code that follows."""
    if isinstance(outcome, Failed):
        name, reason, code = str(outcome.job), outcome.reason, outcome.code
    elif not engine.remote:
        return 0  # the process that trained it has put its record in its place
    else:
        from cifar_tricks.engines.arrivals import keep

        name = f"{outcome.key} seed={outcome.seed} on {outcome.where}"
        reason = keep(study, outcome)
        code = 1 if reason else 0
    if reason:
        view.tell(f"error: {name}: {reason}", error=True)
    elif not code:
        view.done(name)
    return code
