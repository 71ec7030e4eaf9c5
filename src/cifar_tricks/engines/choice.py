"""Which engine a user has asked for."""

from __future__ import annotations

from dataclasses import dataclass

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.engines.jobs import Engine
from cifar_tricks.engines.local import Local

ENGINES = ("local",)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was given for the engine, as texts.

    Args:
        name: local, ray or slurm.
        address: of Ray's head node, ``host:port``.
        gpus: for each training; Ray takes fractions.
        sbatch: options for Slurm's ``sbatch``.
        insecure: whether a Ray cluster without tokens will do.
        dry_run: whether Slurm's script is only printed.
    """

    name: str
    address: str = ""
    gpus: str = ""
    sbatch: str = ""
    insecure: bool = False
    dry_run: bool = False


def choose_engine(wanted: Wanted, *, at_once: int, memory: int) -> Engine:
    """The engine, reached where it has to be.

    Args:
        wanted: by the user.
        at_once: how many trainings this machine runs.
        memory: bytes that a training may need.

    Raises:
        UserError: no such engine, an option that it does not have, or it cannot be used.
    """
    if wanted.name not in ENGINES:
        raise UserError(f"ENGINE = {wanted.name}: {choose_from(wanted.name, ENGINES)}")
    return Local(at_once)
