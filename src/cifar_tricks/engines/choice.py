"""Which engine a user has asked for."""

from __future__ import annotations

from dataclasses import dataclass

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.engines.jobs import Engine
from cifar_tricks.engines.local import Local

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was given for the engine, as texts.

    Args:
        name: local, ray or slurm.
        address: of Ray's head node, ``host:port``.
        gpus: for each training; Ray takes fractions.
        sbatch: options for Slurm's ``sbatch``.
        insecure: whether a Ray cluster without tokens will do.
        weights: whether they come back too; trainings on this machine leave them here anyway.
        dry_run: whether Slurm's script is only printed.
    """

    name: str
    address: str = ""
    gpus: str = ""
    sbatch: str = ""
    insecure: bool = False
    weights: bool = False
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
    _refuse_others_options(wanted)
    if wanted.name == "local":
        return Local(at_once)
    if wanted.name == "slurm":
        from cifar_tricks.engines.slurm import Slurm

        return Slurm(
            sbatch=wanted.sbatch, gpus=_gpus(wanted.gpus, whole=True), dry_run=wanted.dry_run
        )
    from cifar_tricks.engines.ray_cluster import Ray

    return Ray(
        address=wanted.address,
        gpus=_gpus(wanted.gpus),
        memory=memory,
        insecure=wanted.insecure,
    )


def _refuse_others_options(wanted: Wanted) -> None:
    options = (
        ("ENGINE_ADDRESS", wanted.address, ("ray",)),
        ("GPUS", wanted.gpus, ("ray", "slurm")),
        ("SBATCH", wanted.sbatch, ("slurm",)),
        ("--insecure", wanted.insecure, ("ray",)),
        ("--weights", wanted.weights, ("ray", "slurm")),
        ("--dry-run", wanted.dry_run, ("slurm",)),
    )
    for option, given, engines in options:
        if given and wanted.name not in engines:
            raise UserError(f"{option} is for ENGINE={' or '.join(engines)}, not {wanted.name}")


def _gpus(given: str, *, whole: bool = False) -> float:
    try:
        number = float(given or 0)
        if 0 <= number <= 1000 and (number == int(number) or (not whole and number < 1)):
            return number
    except ValueError:
        pass
    less = "; a part of one: SBATCH=--gres=shard:1, where the site has it" if whole else ""
    valid = "a whole number" if whole else "a whole number, or a part of one such as 0.25"
    raise UserError(f"GPUS = {given}: valid: {valid}{less}")
