"""``make reproduce-check``: the quick study in two fresh clones, compared byte for byte.

    python -m cifar_tricks reproduce-check [--keep FOLDER]

The clones have other paths, another order of trainings and empty caches; only downloads, which are
verified, are taken along. Compared is every file of every output of DVC, and ``dvc.lock``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import hash_file

# What a user's path may hold, and jobs: the second clone trains one net after the other.
CLONES = {"first": "2", "second clone, ä": "1"}


def compare_clones(keep: Path | None) -> int:
    """Clones, runs and compares.

    Args:
        keep: a new folder that the clones are made in and stay in; None for a temporary one.

    Returns:
        0 where all is identical, 1 where something differs.

    Raises:
        UserError: the folder is there already, git fails, or the study does.
    """
    if keep is None:
        with tempfile.TemporaryDirectory() as folder:
            return _check(Path(folder).resolve())
    if keep.exists():
        raise UserError(f"--keep {keep}: it is there already; name a new folder")
    keep.mkdir(parents=True)
    return _check(keep.resolve())


def _check(folder: Path) -> int:
    _git("ls-files", "--error-unmatch", "dvc.yaml")
    # The project may be a folder of a larger repository.
    top, place = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "--show-prefix")
    if _git("status", "--porcelain", "--untracked-files=no", "."):
        print("note: uncommitted changes are not in the clones", flush=True)
    commit = _git("rev-parse", "--short", "HEAD")
    hashes = []
    for name, jobs in CLONES.items():
        clone, started = folder / name / place, time.monotonic()
        _git("clone", "--quiet", "--no-local", top, str(folder / name))
        _git("-C", str(folder / name), "checkout", "--quiet", commit)
        downloads = Path("data/downloads")
        if downloads.exists():
            shutil.copytree(downloads, clone / downloads)
        print(f"commit {commit}, JOBS={jobs}: the quick study in '{clone}'", flush=True)
        _reproduce(clone, jobs)
        hashes.append(output_hashes(clone))
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
    committed = {"dvc.lock": hash_file(Path("dvc.lock"))}
    return _tell(hashes[0], hashes[1], committed)


def _tell(first: dict[str, str], second: dict[str, str], committed: dict[str, str]) -> int:
    differing = differing_files(first, second)
    for name in differing:
        print(f"differs: {name}")
    print(f"{len(first.keys() | second.keys())} files compared, {len(differing)} differ")
    same = first["dvc.lock"] == committed["dvc.lock"]
    print(f"dvc.lock is {'' if same else 'not '}the committed one" + ("" if same else ELSEWHERE))
    return 1 if differing else 0


ELSEWHERE = " (which may come from another kind of machine: docs/decisions/pipeline.md)"


def differing_files(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Names that are in one of them only, or have two hashes."""
    return sorted(n for n in first.keys() | second.keys() if first.get(n) != second.get(n))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise UserError("git is not installed") from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"git {arguments[0]}: {' '.join(error.stderr.split())}") from error
    return done.stdout.strip()


def _reproduce(clone: Path, jobs: str) -> None:
    log = clone.with_name(f"{clone.name}.log")
    command = [sys.executable, "-m", "cifar_tricks", "repro", "--jobs", jobs]
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    # The committed lock would let DVC take results from a shared cache instead of making them.
    (clone / "dvc.lock").unlink(missing_ok=True)
    with log.open("w") as output:
        code = subprocess.run(
            command, cwd=clone, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    if code != 0:
        lines = log.read_text(errors="replace").splitlines()[-20:]
        raise UserError("\n".join([f"make repro ended with code {code} in {clone}:", *lines]))


def output_hashes(folder: Path) -> dict[str, str]:
    """sha256 of dvc.lock and of every file of every output that it names, by path.

    Args:
        folder: of a DVC repository.
    """
    from dvc.repo import Repo

    found = {"dvc.lock": hash_file(folder / "dvc.lock")}
    with Repo(str(folder)) as repo:
        for output in repo.index.outs:
            path = Path(output.fs_path)
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in files:
                if file.is_file():
                    found[file.relative_to(folder).as_posix()] = hash_file(file)
    return found
