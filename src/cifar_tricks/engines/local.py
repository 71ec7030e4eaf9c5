"""Trainings side by side on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from cifar_tricks.base import resources
from cifar_tricks.engines.jobs import Failed, Job, Outcome, Processes, Trained
from cifar_tricks.engines.study import Study
from cifar_tricks.runs.folders import record_file


def has_gpu(device: str) -> bool:
    """Whether trainings run on a GPU here; PyTorch is asked where there may be one.

    Args:
        device: of params.yaml.

    Raises:
        UserError: PyTorch cannot use it, or there is none though asked for.
    """
    if device == "cpu" or (device == "auto" and not resources.has_gpu()):
        return False
    from cifar_tricks.training.device import choose_device

    return choose_device(device).type == "cuda"


class Local:
    """A process for each job, or one for all of them, which puts records into their place itself.

    Args:
        at_once: how many processes at the same time.
        in_turn: whether one process trains all jobs, one after the other; None: on a GPU, which
            would be idle while each starts.
    """

    remote = False

    def __init__(self, at_once: int, *, in_turn: bool | None = None) -> None:
        self.at_once, self.in_turn = at_once, in_turn

    def has_gpu(self, device: str) -> bool:
        """See :func:`has_gpu`."""
        return has_gpu(device)

    def run(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        """See :class:`cifar_tricks.engines.jobs.Engine`."""
        in_turn = self.in_turn
        if in_turn is None:
            in_turn = self.at_once == 1 and has_gpu(study.params.device)
        yield from (self._all if in_turn else self._each)(study, jobs, processes)

    def _all(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        words = [sys.executable, *study.command(jobs[0])]
        for job in jobs[1:]:
            words += ["--", *study.command(job)[2:]]
        code = processes.run(words, lines=True)
        for job in jobs:
            paths = {seed: record_file(study.params.scale, job.key, seed) for seed in job.seeds}
            if code and not all(path.exists() for path in paths.values()):
                yield Failed(job, "", code)
            for seed, path in paths.items():
                if path.exists():
                    yield Trained(job.key, seed, path.read_bytes(), "")

    def _each(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        def work(job: Job) -> tuple[Job, int]:
            return job, processes.run([sys.executable, *study.command(job)], lines=True)

        with ThreadPoolExecutor(self.at_once) as pool:
            for done in as_completed([pool.submit(work, job) for job in jobs]):
                job, code = done.result()
                if code:
                    yield Failed(job, "", code)
                for seed in job.seeds if not code else ():
                    path = record_file(study.params.scale, job.key, seed)
                    yield Trained(job.key, seed, path.read_bytes(), "")
