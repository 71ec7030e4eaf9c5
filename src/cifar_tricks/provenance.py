"""Where the results of a study came from: machines, versions, data, and what they cost."""

from __future__ import annotations

from typing import Any

from cifar_tricks.markdown import Markdown, code, table
from cifar_tricks.outcome import Origin
from cifar_tricks.results import Result, Study


def provenance(study: Study) -> dict[str, Any]:
    """What all runs together were made of, for the templates.

    Returns:
        ``devices``, ``torch``, ``engines``, ``code_hashes`` and ``data_hashes``: the different
        ones, sorted; ``costs``, a table of the time that groups of variants took where that is on
        record, "" where it is for none; ``command``, which makes the page again.
    """
    runs = [result.run for result in study.results.values() if result.run]
    origins = [origin for run in runs for origin in run.origins]
    # Of a study that still grows, `make repro` would train the seeds that are left.
    grows = any(len(result.seeds) < len(study.params.seeds) for result in study.results.values())
    return {
        "devices": sorted({_device(origin) for origin in origins}),
        "torch": sorted({origin.torch for origin in origins}),
        "engines": sorted({origin.engine for origin in origins}),
        "code_hashes": sorted({origin.code for origin in origins}),
        "data_hashes": sorted({run.data.get("train", "") for run in runs}),
        "costs": _costs(study),
        "command": "make page" if grows else "make repro",
    }


def _device(origin: Origin) -> str:
    return f"{origin.device} ({origin.device_name})"


def _costs(study: Study) -> Markdown:
    """Wall time by group, net and device, of the seeds that came from ``records``."""
    spent: dict[tuple[str, str], list[float]] = {}
    for result in study.results.values():
        for one in result.run.seeds.values() if result.run else ():
            if one.origin.recorded and one.origin.seconds is not None:
                place = (_part(result), _device(one.origin))
                spent.setdefault(place, []).append(one.origin.seconds)
    rows = [
        [part, device, str(len(seconds)), f"{sum(seconds) / 60:,.1f}", _each(seconds)]
        for (part, device), seconds in spent.items()
    ]
    header = ["trained", "on", "runs", "minutes in all", "minutes each"]
    return table(header, rows, "llr") if rows else Markdown("")


def _part(result: Result) -> str:
    """A group of variants that take about as long."""
    variant = result.variant
    if variant.group == "tricks":
        return Markdown(f"{code(variant.model)} with each trick")
    if variant.group in ("improve", "transfer", "reference"):
        return code(result.key)
    return Markdown(f"{variant.group} on {code(variant.model)}")


def _each(seconds: list[float]) -> str:
    least, most = (f"{value / 60:.1f}" for value in (min(seconds), max(seconds)))
    return least if least == most else f"{least} to {most}"
