"""Trainings on a Ray cluster, whose nodes need no common disk.

Only Ray's core is used: no dashboard, no job API. Code and data go through its object store, to
each node once; :mod:`cifar_tricks.engines.node` is what a task runs there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.engines import node
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
from cifar_tricks.engines.ray_connection import connect
from cifar_tricks.engines.ray_nodes import Nodes
from cifar_tricks.engines.study import Study

END_SECONDS = 10.0


class Ray:
    """Tasks of one training each, on whatever nodes are or come.

    Args:
        address: of the head node, ``host:port``.
        gpus: for each training.
        memory: bytes that a training may need.
        insecure: whether a cluster without tokens will do.

    Raises:
        UserError: it cannot be reached or used, or no token is asked for.
    """

    remote = True

    def __init__(self, *, address: str, gpus: float, memory: int, insecure: bool) -> None:
        self.gpus, self.memory = gpus, memory
        self.ray = connect(address, insecure=insecure)

    def has_gpu(self, device: str) -> bool:
        """See :class:`cifar_tricks.engines.jobs.Engine`; GPUs are asked for by their number."""
        if self.gpus and device == "cpu":
            raise UserError(f"GPUS = {self.gpus:g}: params.yaml: device = cpu; valid there: auto")
        if device == "cuda" and not self.gpus:
            raise UserError("params.yaml: device = cuda: say how many of Ray's GPUs: GPUS=1")
        return self.gpus > 0

    def run(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        """See :class:`cifar_tricks.engines.jobs.Engine`."""
        self._check_nodes(study)
        yield from _Session(self, study, processes).run(jobs)

    def _check_nodes(self, study: Study) -> None:
        wanted = {"CPU": study.threads(), "GPU": self.gpus, "memory": self.memory}
        alive = [one["Resources"] for one in self.ray.nodes() if one["Alive"]]
        for name, amount in wanted.items():
            most = max((float(one.get(name, 0)) for one in alive), default=0.0)
            if amount > most:
                what = f"{amount:g} {name}" if name != "memory" else f"{amount / 1e9:.1f} GB"
                have = f"{most:g}" if name != "memory" else f"{most / 1e9:.1f} GB"
                raise UserError(f"a training needs {what}; no node of Ray has more than {have}")


class _Session:
    """One call: what was shipped, what is under way."""

    def __init__(self, engine: Ray, study: Study, processes: Processes) -> None:
        self.engine, self.ray, self.study, self.processes = engine, engine.ray, study, processes
        self.nodes = Nodes(self.ray)
        self.pending: dict[Any, Job] = {}
        self.tries: Counter[tuple[str, int]] = Counter()

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        ray = self.ray
        ray.cloudpickle.register_pickle_by_value(node)
        # Sent to each node once. Tries are counted here: Ray's own would be without end where
        # memory is short.
        self.task = ray.remote(max_retries=0)(_task())
        left = yield from self._ask(jobs)
        if not self.study.train:
            return
        if left:
            self._ship([job for job, _ in left])
        for job, at in left:
            self._submit(job, at)
        while self.pending and self.processes.stopped_by is None:
            if ray.wait([*self.pending], timeout=1.0)[0]:
                # All that have ended, since looking takes the longer the more are queued.
                ended = ray.wait([*self.pending], num_returns=len(self.pending), timeout=0)[0]
                for ref in ended:
                    yield from self._ended(ref, self.pending.pop(ref))
            if (does := self.nodes.busy()) is not None:
                yield Busy(does)
        for ref in self.pending:
            ray.cancel(ref)
        if self.pending:
            ray.wait([*self.pending], num_returns=len(self.pending), timeout=END_SECONDS)

    def _ship(self, jobs: Sequence[Job]) -> None:
        self.data = self.study.data(jobs)
        content, self.bundle = self.study.bundle(self.data)
        # In a list: a node fetches only what it has not kept from an earlier call.
        self.files = {name: [self.ray.put(Path(name).read_bytes())] for name in self.data}
        self.files[""] = [self.ray.put(content)]

    def _submit(self, job: Job, at: str | None) -> None:
        """Queues a job, for a certain node if that is there and free."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(at, soft=True) if at else "SPREAD"
        order = node.Order(
            bundle=self.bundle,
            data=self.data,
            command=self.study.command(job),
            scale=self.study.params.scale,
            key=job.key,
            seeds=job.seeds,
            gpu=self.engine.gpus > 0,
            weights=self.study.weights,
        )
        task = self.task.options(
            num_cpus=self.study.threads(),
            num_gpus=self.engine.gpus,
            memory=self.engine.memory,
            scheduling_strategy=strategy,
        )
        self.pending[task.remote(order, self.files)] = job

    def _ended(self, ref: Any, job: Job) -> Iterator[Outcome]:
        try:
            code, last, records, weights, where = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            first = str(cause).strip().splitlines() or [""]
            yield from self._again(job, f"{type(cause).__name__}: {first[0]}"[:200])
            return
        for seed, record in records.items():
            yield Trained(job.key, seed, record, where, weights.get(seed))
        left = Job(job.key, [seed for seed in job.seeds if seed not in records])
        if code == 2 and BUSY not in last:
            yield Failed(left, f"on {where}: {last.removeprefix('error: ')}", 2)
        elif left.seeds:
            yield from self._again(left, f"on {where}: exit code {code}: {last}")

    def _again(self, job: Job, reason: str) -> Iterator[Outcome]:
        """Another try, by a node that has its state if there is one."""
        if self.processes.stopped_by is not None:
            return
        self.tries[job.key, job.seeds[0]] += 1
        if self.tries[job.key, job.seeds[0]] >= MOST_TRIES:
            yield Failed(job, f"given up after {MOST_TRIES} tries; {reason}", 1)
            return
        yield Note(f"{job} is tried again: {reason}")
        for one, at in (yield from self._ask([job])):
            self._submit(one, at)

    def _ask(self, jobs: Sequence[Job]) -> Generator[Outcome, None, list[tuple[Job, str | None]]]:
        """Yields what nodes have finished already; returns the rest, each with the node that has
        begun it."""
        wanted = [(job.key, seed) for job in jobs for seed in job.seeds]
        records, begun_at = self.nodes.held(self.study.params.scale, wanted)
        names, found = self.nodes.names(), set()
        for number, (key, seed), record in records:
            if (key, seed) in found or objection(self.study, key, seed, record):
                continue
            weights = None
            if self.study.weights:
                weights = self.nodes.weights(number, (key, seed), record)
                if weights is None:
                    continue
            found.add((key, seed))
            yield Trained(key, seed, record, f"{names.get(number, 'a node')}, earlier", weights)
        rest = (Job(job.key, [s for s in job.seeds if (job.key, s) not in found]) for job in jobs)
        return [(job, begun_at.get((job.key, job.seeds[0]))) for job in rest if job.seeds]


def _task() -> Callable[..., Any]:
    """The task, as a function that Ray sends by its code: nodes have no such package."""

    def train(order: node.Order, files: dict[str, list[Any]]) -> Any:
        import signal

        import ray

        # Where `ray start` ran in a script's background, SIGINT is ignored and nothing cancels.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return node.work(order, lambda name: ray.get(files[name][0]))

    return train
