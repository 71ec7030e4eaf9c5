"""The arrays of one call of :mod:`cifar_tricks.engines.slurm`: queued, watched, tried again."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.engines.arrivals import objection
from cifar_tricks.engines.jobs import (
    BUSY,
    MOST_TRIES,
    Busy,
    Failed,
    Job,
    Note,
    Outcome,
    Processes,
    Trained,
)
from cifar_tricks.engines.node_store import find_weights
from cifar_tricks.engines.slurm import FOLDER, Element, Slurm, array_size, cancel
from cifar_tricks.engines.study import Study
from cifar_tricks.runs.folders import record_file

POLL_SECONDS = 2.0
# A file of another machine may be seen later than the queue says that its writer has ended.
LATE_SECONDS = 10.0
END_SECONDS = 10.0


class Arrays:
    """What is queued, and what has been seen of it.

    Args:
        engine: asks Slurm.
        study: what is trained.
        processes: know whether a signal came.
        folder: the workspace.
    """

    def __init__(self, engine: Slurm, study: Study, processes: Processes, folder: Path) -> None:
        self.engine, self.study, self.processes, self.folder = engine, study, processes, folder
        self.at: dict[Element, Job] = {}
        self.where: dict[Element, str] = {}
        self.gone: dict[Element, float] = {}
        self.tries: Counter[str] = Counter()
        self.chunk, self.number = array_size(), 0
        self.queued: dict[Element, str] = {}
        self.most: int | None = None  # as many as were queued when Slurm took no more

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See :class:`cifar_tricks.engines.jobs.Engine`."""
        waiting = yield from self._adopt(jobs)
        if not self.study.train:
            return
        while (waiting or self.at) and self.processes.stopped_by is None:
            waiting = self._submit(waiting)
            time.sleep(POLL_SECONDS)
            queued = self.engine.queued()
            self.queued = self.queued if queued is None else queued
            yield self._busy()
            for element, job in [*self.at.items()]:
                left = yield from self._arrived(job, self.where.get(element, ""))
                self.at[element] = left
                self._look(element)
                if not left.seeds:
                    self._forget(element)
                elif time.monotonic() - self.gone.get(element, time.monotonic()) > LATE_SECONDS:
                    waiting += yield from self._ended(element, left)
        if self.processes.stopped_by is not None:
            self._cancel()

    def _adopt(self, jobs: Sequence[Job]) -> Generator[Outcome, None, list[Job]]:
        """Takes over what an earlier call has finished or queued; returns the rest."""
        queued = self.engine.queued()
        if queued is None:
            raise UserError("ENGINE = slurm: squeue fails: is Slurm up?")
        self.queued = queued
        for path in FOLDER.glob("*.txt"):
            if not any(stamp == path.stem for stamp, _ in queued):
                path.unlink()
        earlier = {element: _words(element) for element in queued}
        waiting = []
        for job in jobs:
            left = yield from self._arrived(job, "a node, earlier")
            key, *seeds = self.study.command(left)[2:]
            wanted = {key, *seeds}
            element = next((at for at, words in earlier.items() if wanted <= {*words}), None)
            if left.seeds and element:
                self.at[element] = left
            elif left.seeds:
                waiting.append(left)
        if self.at:
            yield Note(f"{len(self.at)} are queued already")
        return waiting

    def _submit(self, jobs: list[Job]) -> list[Job]:
        """Queues what the site takes; returns the rest."""
        while jobs and (self.most is None or len(self.at) < self.most):
            part = jobs[: self.chunk]
            self.number += 1
            stamp = f"{time.strftime('%Y%m%d%H%M%S')}-{self.number}"
            if refusal := self.engine.submit(self.study, self.folder, part, stamp):
                (FOLDER / f"{stamp}.txt").unlink()
                if len(part) > 1:
                    self.chunk = len(part) // 2
                elif self.at:
                    self.most = len(self.at)  # when some have ended there is room for more
                else:
                    raise UserError(f"sbatch: {refusal}")
            else:
                self.most = None
                self.at |= {(stamp, index): job for index, job in enumerate(part, 1)}
                jobs = jobs[len(part) :]
        return jobs

    def _arrived(self, job: Job, where: str) -> Generator[Outcome, None, Job]:
        """Yields what has ended of a job; returns the rest of it."""
        left = []
        for seed in job.seeds:
            path = self.folder / record_file(self.study.params.scale, job.key, seed)
            record = path.read_bytes() if path.exists() else None
            if record and not objection(self.study, job.key, seed, record):
                weights = (
                    find_weights(FOLDER, job.key, seed, record) if self.study.weights else None
                )
                yield Trained(job.key, seed, record, where, weights)
            else:
                path.unlink(missing_ok=True)  # of another recipe or device
                left.append(seed)
        return Job(job.key, left)

    def _look(self, element: Element) -> None:
        if element in self.queued:
            self.gone.pop(element, None)
            self.where[element] = self.queued[element] or self.where.get(element, "")
        else:
            self.gone.setdefault(element, time.monotonic())

    def _busy(self) -> Busy:
        nodes = defaultdict(list)
        for element in self.at.keys() & self.queued.keys():
            if where := self.queued[element]:
                nodes[where].append(str(self.at[element]))
        return Busy(nodes)

    def _ended(self, element: Element, job: Job) -> Generator[Outcome, None, list[Job]]:
        """Returns a job that has left the queue without its records, if it is to go there again."""
        stamp, index = element
        output = FOLDER / f"{stamp}-{index}.out"
        lines = output.read_text(errors="replace").split("\n") if output.exists() else []
        last = next((line for line in reversed(lines) if line.strip()), "it left no word")
        if last.startswith("error: ") and BUSY not in last:
            self.at.pop(element)
            yield Failed(job, f"{last.removeprefix('error: ')}; {output}", 2)
            return []
        self.tries[str(job)] += 1
        if self.tries[str(job)] >= MOST_TRIES:
            self.at.pop(element)
            yield Failed(job, f"given up after {MOST_TRIES} tries: {last}; {output}", 1)
            return []
        yield Note(f"{job} is queued again: {last}")
        self._forget(element)
        return [job]

    def _forget(self, element: Element) -> None:
        stamp, index = element
        self.at.pop(element)
        self.gone.pop(element, None)
        (FOLDER / f"{stamp}-{index}.out").unlink(missing_ok=True)

    def _cancel(self) -> None:
        for stamp in {stamp for stamp, _ in self.at}:
            cancel(f"{self.engine.name}-{stamp}")
        end = time.monotonic() + END_SECONDS
        while self.engine.queued() and time.monotonic() < end:
            time.sleep(0.5)


def _words(element: Element) -> list[str]:
    """The line of a list that an element reads; [] where it is gone."""
    stamp, index = element
    try:
        return (FOLDER / f"{stamp}.txt").read_text().splitlines()[index - 1].split()
    except (OSError, IndexError):
        return []
