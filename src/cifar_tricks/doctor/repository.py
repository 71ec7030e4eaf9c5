"""git and DVC's cache."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cifar_tricks.doctor.finding import FAIL, NOTE, OK, Finding


def git() -> Iterator[Finding]:
    """Whether git works here, and has all of the history."""
    command = ["git", "rev-parse", "--is-shallow-repository"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}, check=False
        )
    except OSError:
        yield Finding(
            "git", FAIL, "git is not installed, and DVC's experiments need it: install it"
        )
        return
    if "dubious ownership" in done.stderr:
        remedy = f"git config --global --add safe.directory {shlex.quote(str(Path.cwd()))}"
        yield Finding(
            "git", FAIL, f"the folder belongs to another user, so git refuses it: {remedy}"
        )
    elif done.returncode:
        text = f"{done.stderr.strip().removeprefix('fatal: ')}: git clone the project"
        yield Finding("git", FAIL, text)
    elif done.stdout.strip() == "true":
        remedy = "queued and temporary experiments of DVC need all of it: git fetch --unshallow"
        yield Finding("git", NOTE, f"a shallow clone; {remedy}")
    else:
        yield Finding("git", OK, "a clone with its whole history")


def cache() -> Iterator[Finding]:
    """Where DVC's cache is and how files come from it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.fs.generic import test_links
    from dvc_objects.fs.local import LocalFileSystem

    try:
        local = Repo().cache.local
    except DvcException as error:
        yield Finding("cache", FAIL, f"DVC: {error}")
        return
    folder = Path(local.path)
    while not folder.exists():  # not made by looking
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield Finding("cache", FAIL, f"{folder} cannot be written: chown or chmod it")
        return
    system = LocalFileSystem()  # type: ignore[no-untyped-call]
    kinds = test_links(local.cache_types, system, str(folder), system, str(Path.cwd() / "link"))
    space = "; outputs take their space twice" if kinds[:1] == ["copy"] else ""
    other = folder.stat().st_dev != Path.cwd().stat().st_dev
    disk = " on another disk" if other else ""
    yield Finding("cache", OK, f"{local.path}{disk}: {kinds[0] if kinds else 'no links'}{space}")
