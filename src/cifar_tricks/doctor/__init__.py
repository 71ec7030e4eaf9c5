"""``make doctor``: what this machine has for the study, and what to do about what it lacks.

    python -m cifar_tricks doctor

Each check stands alone: one that fails is a line, and what it needs is imported within it, so that
a machine without any package is examined too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from cifar_tricks.base.errors import UserError
from cifar_tricks.doctor.finding import FAIL, NOTE, Finding

# What they are about, and the function that looks, within this package.
CHECKS = {
    "system": "machine.system",
    "interpreter": "machine.interpreter",
    "capacity": "machine.capacity",
    "disk": "machine.disk",
    "device": "device.device",
    "versions": "packages.versions",
    "git": "repository.git",
    "cache": "repository.cache",
    "tracking": "tracking.tracking",
    "hosts": "hosts.hosts",
}


def examine() -> int:
    """Looks at everything at once and prints a line for each finding.

    Returns:
        The exit code: 1 where something has to be done.
    """
    todo = 0
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        for findings in pool.map(findings_of, CHECKS):
            for finding in findings:
                todo += finding.state == FAIL
                print(f"{finding.state:<5} {finding.name:<12} {finding.text}", flush=True)
    print(f"\n{todo} to do" if todo else "\nnothing to do")
    return 1 if todo else 0


def findings_of(name: str) -> list[Finding]:
    """What a check finds, or that it failed.

    Args:
        name: a key of CHECKS.
    """
    found: list[Finding] = []
    try:
        found.extend(_check(name))
    except UserError as error:
        found.append(Finding(name, FAIL, str(error)))
    except ModuleNotFoundError as error:
        found.append(Finding(name, NOTE, f"not checked: {sys.executable} has no {error.name}"))
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever it is, the other checks tell what they found
        found.append(Finding(name, NOTE, f"not checked: {type(error).__name__}: {error}"))
    return found


def _check(name: str) -> Iterator[Finding]:
    module, function = CHECKS[name].split(".")
    found: Iterator[Finding] = getattr(import_module(f"{__name__}.{module}"), function)()
    yield from found
