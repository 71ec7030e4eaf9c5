"""How long the full study takes on so many nodes: ``python benchmarks/cluster_scale.py``.

Simulated: trainings go to free nodes in the order of ``make share``, and nodes die at random times.
How long a training takes stands in the records. What the driver costs is measured on tasks that do
nothing: ``--address head:6379`` of a Ray cluster; with ``--run KEY ...`` it trains these there and
says what the simulation makes of it. ``--write`` puts the table into docs/cluster.md.
"""

from __future__ import annotations

import argparse
import heapq
import io
import math
import random
import re
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.scheduling import BYTES_PER_JOB, seconds
from cifar_tricks.commands.share import RECORD as MODULE
from cifar_tricks.commands.share import planned
from cifar_tricks.engines import ray_cluster
from cifar_tricks.engines.collect import train_jobs
from cifar_tricks.engines.jobs import MOST_TRIES, Job
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import record_file
from cifar_tricks.runs.records import read_record

RECORD = Path("records/full/model2-baseline/seed=0.json")
DOCUMENT = Path("docs/cluster.md")
BLOCK = re.compile(r"(<!-- simulated -->\n).*?(<!-- end of simulated -->)", re.DOTALL)
NODES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LIVES = (math.inf, 24.0, 4.0)
RUNS = 20
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Nodes of one training at a time.

    Args:
        nodes: how many.
        life: mean seconds until a node dies, exponentially distributed.
        away: seconds until it is back.
        task: seconds of the driver for a training, one after the other.
        start: seconds of a node for each training beside its own: Python, images, test images.
        data: seconds in which the driver sends a node what all read, one node after the other.
    """

    nodes: int
    life: float = math.inf
    away: float = 600.0
    task: float = 0.003
    start: float = 8.0
    data: float = 0.3


class Outcome(NamedTuple):
    """What a simulation came to.

    Args:
        seconds: until the last training ended.
        again: how often one was begun again.
        given_up: how many died too often.
    """

    seconds: float
    again: int
    given_up: int


def simulate(times: Sequence[float], cluster: Cluster, seed: int = 0) -> Outcome:
    """Runs trainings on paper; one whose node dies begins again, at the end of the queue.

    Args:
        times: seconds of each, in the order in which they are queued.
        cluster: where.
        seed: of the random deaths.
    """
    draw = random.Random(seed)
    queue, tries = deque(range(len(times))), [0] * len(times)
    idle: deque[int] = deque()
    works: dict[int, int] = {}  # nodes, and the training of each
    ends_at: dict[int, float] = {}
    left, given_up, driver, now = len(times), 0, 0.0, 0.0
    # When, what happens, to which node.
    events = [(cluster.data * (node + 1), "up", node) for node in range(cluster.nodes)]
    while left:
        now, what, node = heapq.heappop(events)
        if what == "up":
            idle.append(node)
            if cluster.life < math.inf:
                death = now + draw.expovariate(1 / cluster.life)
                heapq.heappush(events, (death, "death", node))
        elif what == "death":
            if node in works:
                index = works.pop(node)
                tries[index] += 1
                if tries[index] < MOST_TRIES:
                    queue.append(index)
                else:
                    given_up, left = given_up + 1, left - 1
            else:
                idle.remove(node)
            heapq.heappush(events, (now + cluster.away, "up", node))
        elif node in works and ends_at[node] == now:  # it has not died meanwhile
            del works[node]
            idle.append(node)
            left -= 1
        while queue and idle:
            node, index = idle.popleft(), queue.popleft()
            works[node] = index
            driver = max(driver, now) + cluster.task
            ends_at[node] = driver + cluster.start + times[index]
            heapq.heappush(events, (ends_at[node], "end", node))
    return Outcome(now, sum(tries) - given_up, given_up)


def bounds(times: Sequence[float], nodes: int) -> tuple[float, float]:
    """Between which trainings in any order end on nodes that live (Graham, 1966)."""
    least = max(max(times), sum(times) / nodes)
    return least, least + max(times)


def times_of_study() -> tuple[list[float], int]:
    """Seconds of every training of scale full, in their order, and how many variants are on record.

    Seeds were measured beside other work, so each counts as the median of its variant; a variant
    that is not on record by its work, as the others come to.
    """
    params = load_params().model_copy(update={"scale": "full"})
    known = variants(params)
    measured = {}
    for key in known:
        paths = Path("records/full", key).glob("*.json")
        found = [read_record(path).result.origin.seconds for path in paths]
        if one := [value for value in found if value]:
            measured[key] = statistics.median(one)
    ratio = statistics.median(measured[key] / seconds(known[key]) for key in measured)
    jobs = planned([*known], params.seeds, gpu=False)
    every = [measured.get(job.key, ratio * seconds(known[job.key])) for job in jobs]
    return every, len(measured)


def table(times: Sequence[float]) -> str:
    """The simulation as Markdown: the mean of some runs where nodes die."""
    titles = ["no node dies", *(f"each once in {life:g} h" for life in LIVES[1:])]
    lines = [f"| nodes | {' | '.join(titles)} |", "|---:|" + "---:|" * len(titles)]
    for nodes in NODES:
        cells = []
        for life in LIVES:
            cluster = Cluster(nodes=nodes, life=life * HOUR)
            seeds = range(RUNS if life < math.inf else 1)
            runs = [simulate(times, cluster, seed) for seed in seeds]
            again = statistics.mean(run.again for run in runs)
            cells.append(told(statistics.mean(run.seconds for run in runs)))
            cells[-1] += f" ({again:.0f} again)" if life < math.inf else ""
        lines.append(f"| {nodes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def told(duration: float) -> str:
    """A duration in seconds for people."""
    hours, minutes = divmod(round(duration / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def cost_of_driver(address: str, record: Path, count: int) -> float:
    """Seconds that the real driver needs for a training: to queue it, to check its record and to
    write it, while nodes do nothing but send the same record back.

    Args:
        address: of a Ray cluster.
        record: of the data that are here.
        count: of tasks; a tenth as many are taken for what does not grow with them.
    """
    content, scale = record.read_bytes(), record.parts[-3]
    params = re.sub(r"(?m)^scale: \w+", f"scale: {scale}", Path("params.yaml").read_text("utf-8"))
    job = Job(record.parts[-2], [int(record.stem.removeprefix("seed="))])
    (seed,) = job.seeds
    data, took = Path("data").resolve(), []

    def task() -> Callable[..., Any]:
        return lambda order, files: (0, "", {seed: content}, {}, "a node")

    engine = ray_cluster.Ray(address=address, gpus=0, memory=BYTES_PER_JOB, insecure=False)
    # No node is asked for what it has: a record that one keeps would need no task.
    nothing = patch.object(ray_cluster.Nodes, "held", lambda *_: ([], {}))
    no_op = patch.object(ray_cluster, "_task", task)
    with TemporaryDirectory() as folder, chdir(folder), nothing, no_op:
        Path("data").symlink_to(data)
        Path("params.yaml").write_text(params, "utf-8")
        for number in (*[count // 10] * 3, count):  # the first starts Ray's workers
            study = Study(load_params(), "", "cpu")
            started = time.perf_counter()
            with redirect_stdout(io.StringIO()):
                code = train_jobs(engine, study, [job] * number, Commands())
            took.append(time.perf_counter() - started)
            if code or record_file(scale, job.key, seed).read_bytes() != content:
                raise SystemExit(f"{record} is not of the data that are here")
            shutil.rmtree("records")
    return (took[-1] - min(took[:-1])) / (count - count // 10)


def real_and_simulated(address: str, keys: Sequence[str]) -> tuple[float, float]:
    """Seconds that the driver needs for trainings, their records coming here, and what the
    simulation says of the same; a first one alone tells how long a node here needs to start.

    Args:
        address: of a Ray cluster.
        keys: of variants that are not on record, two trainings at least.
    """
    params = load_params()
    engine = ray_cluster.Ray(address=address, gpus=0, memory=BYTES_PER_JOB, insecure=False)
    study = Study(params, MODULE, "cpu")
    first, *others = planned(keys, params.seeds, gpu=False)

    def trained(jobs: Sequence[Job]) -> tuple[float, list[float]]:
        started = time.perf_counter()
        if train_jobs(engine, study, jobs, Commands()):
            raise SystemExit("a training failed")
        took = time.perf_counter() - started
        paths = [record_file(params.scale, job.key, job.seeds[0]) for job in jobs]
        return took, [read_record(path).result.origin.seconds or 0.0 for path in paths]

    alone, (training,) = trained([first])
    took, times = trained(others)
    slots = int(engine.ray.cluster_resources()["CPU"]) // study.threads()
    cluster = Cluster(nodes=slots, start=alone - training)
    return took, simulate(times, cluster).seconds


def main() -> None:
    """Prints, or writes, what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--address", help="host:port of a Ray cluster: measures the driver")
    parser.add_argument("--record", type=Path, default=RECORD, help="of the data that are here")
    parser.add_argument("--count", type=int, default=2000, help="tasks that do nothing")
    parser.add_argument("--run", nargs="+", metavar="KEY", help="trains them on that cluster")
    parser.add_argument("--write", action="store_true", help=f"the table into {DOCUMENT}")
    given = parser.parse_args()
    if given.run:
        took, simulated = real_and_simulated(given.address, given.run)
        print(f"measured: {took:.1f} s, simulated: {simulated:.1f} s")
        return
    if given.address:
        cost = cost_of_driver(given.address, given.record, given.count)
        print(f"{1000 * cost:.1f} ms a task, of {given.count}")
        return
    times, measured = times_of_study()
    text = (
        f"{len(times)} trainings, {measured} variants of them measured: {told(sum(times))} of one "
        f"core, the longest {told(max(times))}.\n\n{table(times)}"
    )
    if given.write:
        before = DOCUMENT.read_text("utf-8")
        DOCUMENT.write_text(BLOCK.sub(lambda found: f"{found[1]}{text}{found[2]}", before), "utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
