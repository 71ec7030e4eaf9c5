"""What an engine is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from cifar_tricks.engines.study import Study

# How often a training is begun whose process or node ended without a word of its own.
MOST_TRIES = 5
# What a second process is told whose seed is in work already; it may be tried again.
BUSY = "is already being trained"


class Job(NamedTuple):
    """What one process trains.

    Args:
        key: of a variant.
        seeds: of its seeds, those that have no record.
    """

    key: str
    seeds: list[int]

    def __str__(self) -> str:
        return f"{self.key} seed={','.join(map(str, self.seeds))}"


class Trained(NamedTuple):
    """A seed that is finished.

    Args:
        key: of the variant.
        seed: its number.
        record: the bytes of its record.
        where: the node, for people; "" for this machine.
        weights: the bytes of their file, where they were asked for and are there.
    """

    key: str
    seed: int
    record: bytes
    where: str
    weights: bytes | None = None


class Failed(NamedTuple):
    """A job that the engine has given up.

    Args:
        job: which one.
        reason: in one line; "" where it has been told.
        code: the exit code that follows from it.
    """

    job: Job
    reason: str
    code: int


class Note(NamedTuple):
    """What the user is told."""

    line: str


class Busy(NamedTuple):
    """What nodes do now.

    Args:
        nodes: by their names, a text for each training.
    """

    nodes: Mapping[str, Sequence[str]]


Outcome = Trained | Failed | Note | Busy


class Processes(Protocol):
    """What starts commands on this machine, and knows whether a signal came."""

    stopped_by: int | None

    def run(self, command: Sequence[str], *, lines: bool = False) -> int:
        """Runs a command; returns its exit code."""


class Engine(Protocol):
    """Where trainings run.

    Args:
        remote: whether records come back as bytes, to be checked and written.
    """

    remote: bool

    def has_gpu(self, device: str) -> bool:
        """Whether they run on GPUs.

        Args:
            device: of params.yaml.

        Raises:
            UserError: there is no such device.
        """

    def run(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        """Runs jobs until all have ended, or until a signal came and the states are saved.

        Args:
            study: what they belong to.
            jobs: in the order in which they should begin.
            processes: of this machine.
        """
