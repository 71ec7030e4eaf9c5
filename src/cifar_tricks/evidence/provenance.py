"""Where the results of a study came from: machines, versions, data, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from cifar_tricks.evidence.ingredients.read import Ingredients
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.runs.run import Origin

# Groups whose variants differ in what they cost.
SINGLE = ("reference", "improve", "transfer")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What trainings took that came from ``records``.

    Args:
        example: one of the variants; the others are of its group and net.
        device: that trained them.
        seconds: wall time of each training.
    """

    example: Result
    device: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What all runs together were made of.

    Args:
        devices: the different ones, sorted; so are torch (versions), engines, code_hashes and
            data_hashes.
        torch: versions of PyTorch.
        engines: versions of the engine.
        code_hashes: of the modules that a variant loads.
        data_hashes: of the training images.
        costs: of groups of variants, where time is on record.
        apart: keys of what another model of machine trained than its baseline, for some seed: equal
            seeds may round differently there.
        command: that makes the page again.
    """

    devices: list[str]
    torch: list[str]
    engines: list[int]
    code_hashes: list[str]
    data_hashes: list[str]
    costs: list[Cost]
    apart: list[str]
    command: str


def provenance(study: StudyResults, ingredients: Ingredients | None = None) -> Provenance:
    """What the study's runs say of themselves, and those on record of a recipe's ingredients of
    theirs."""
    parts = {result.key: result for result in ingredients.results} if ingredients else {}
    whole = ingredients.study if ingredients else study
    runs = [result.run for result in study.results.values() if result.run]
    origins = [origin for run in runs for origin in run.origins]
    # Of a study that still grows, `make repro` would train the seeds that are left.
    grows = any(len(result.seeds) < len(study.params.seeds) for result in study.results.values())
    return Provenance(
        devices=sorted({_device(origin) for origin in origins}),
        torch=sorted({origin.torch for origin in origins}),
        engines=sorted({origin.engine for origin in origins}),
        code_hashes=sorted({origin.code for origin in origins}),
        data_hashes=sorted({run.data.get("train", "") for run in runs}),
        costs=_costs(study),
        apart=[k for k, result in (study.results | parts).items() if _is_apart(whole, result)],
        command="make page" if grows else "make repro",
    )


def _device(origin: Origin) -> str:
    return f"{origin.device} ({origin.device_name})"


def _is_apart(study: StudyResults, result: Result) -> bool:
    if result.variant.backbone:  # compared with nothing
        return False
    ours, theirs = result.run, study.baseline(result).run
    if ours is None or theirs is None:
        return False
    pairs = ours.seeds.keys() & theirs.seeds.keys()
    return any(_device(ours.seeds[s].origin) != _device(theirs.seeds[s].origin) for s in pairs)


def _costs(study: StudyResults) -> list[Cost]:
    """By group, net and device, of the seeds that came from ``records``."""
    spent: dict[tuple[str, ...], list[float]] = {}
    examples: dict[tuple[str, ...], Result] = {}
    for result in study.results.values():
        for one in result.run.seeds.values() if result.run else ():
            if one.origin.recorded and one.origin.seconds is not None:
                place = (*_part(result), _device(one.origin))
                spent.setdefault(place, []).append(one.origin.seconds)
                examples.setdefault(place, result)
    return [
        Cost(example=examples[place], device=place[-1], seconds=tuple(seconds))
        for place, seconds in spent.items()
    ]


def _part(result: Result) -> tuple[str, str]:
    """Names the variants that take about as long."""
    variant = result.variant
    return variant.group, result.key if variant.group in SINGLE else variant.model
