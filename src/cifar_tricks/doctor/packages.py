"""Installed packages against what is wanted."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from cifar_tricks.commands.package_index import split_lock
from cifar_tricks.doctor.finding import FAIL, NOTE, OK, Finding
from cifar_tricks.doctor.machine import own_environment

LOCK = Path("requirements.lock")
SHOWN = 4  # of a list of packages
# Trainings, records and the page do without them.
COMMANDS_OF = {"dvc": "dvc repro and make repro", "mlflow": "make ui"}


def versions() -> Iterator[Finding]:
    """Installed packages: in the project's own environment those of the lock, elsewhere those that
    pyproject.toml accepts."""
    wrong = different_from_lock()
    if own_environment():
        text = f"{len(wrong)} packages are not as pinned ({first_few(wrong)}): make setup"
        yield Finding("versions", *((FAIL, text) if wrong else (OK, f"as {LOCK} pins them")))
        return
    if needed := lacking():
        command = f"python -m pip install {shlex.join(needed)}"
        yield Finding("versions", FAIL, f"missing or too old: {command}")
    for name, what in COMMANDS_OF.items():
        if installed(name) is None:
            yield Finding("versions", NOTE, f"without {name} there is no {what}")
    yield Finding(
        "versions", NOTE, f"{len(wrong)} packages are not those of {LOCK}: {first_few(wrong)}"
    )


def different_from_lock() -> list[str]:
    """What is installed otherwise than the lock has it, each as "name version, not version"."""
    from packaging.requirements import Requirement

    found = []
    text = LOCK.read_text("utf-8")
    if (installed("torch") or "").endswith("+cpu"):  # make setup TORCH=cpu
        text, _ = split_lock(text)
    for line in re.findall(r"^(\S+==[^\\\n]+)", text, re.MULTILINE):
        pinned = Requirement(line.strip())
        if pinned.marker is not None and not pinned.marker.evaluate():
            continue
        version = installed(pinned.name)
        if version is None:
            found.append(f"{pinned.name} is missing")
        elif not pinned.specifier.contains(version, prereleases=True):
            found.append(f"{pinned.name} {version}, not {str(pinned.specifier)[2:]}")
    return found


def lacking() -> list[str]:
    """Requirements of pyproject.toml that no installed package meets, but for those of packages
    without which trainings, records and the page can do."""
    from packaging.requirements import Requirement

    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    study = project.get("optional-dependencies", {}).get("study", [])
    wanted = [Requirement(line) for line in [*project["dependencies"], *study]]
    return [
        str(one)
        for one in wanted
        if one.name not in COMMANDS_OF
        and not one.specifier.contains(installed(one.name) or "0", prereleases=True)
    ]


def installed(name: str) -> str | None:
    """The version of an installed package, None for none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def first_few(names: list[str]) -> str:
    """The first of them."""
    more = len(names) - SHOWN
    return "; ".join(names[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
