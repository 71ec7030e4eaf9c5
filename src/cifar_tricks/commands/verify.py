"""``make verify``: reads every byte that the study keeps and compares it with its hash.

    python -m cifar_tricks verify [--repair]

DVC itself takes a file whose size and time it knows for intact, and a read-only object of its cache
always; so neither ``dvc status`` nor ``dvc checkout`` finds a flipped bit.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, restored
from cifar_tricks.commands.damage import Verification, check_cache, check_output, relative
from cifar_tricks.commands.processes import DVC
from cifar_tricks.data.backbone_weights import BACKBONE_ASSETS
from cifar_tricks.data.photo_source import PHOTO
from cifar_tricks.datasets.importers import ALL_ASSETS
from cifar_tricks.runs.folders import read_answers, read_history, read_run, seed_folder
from cifar_tricks.runs.records import read_record
from cifar_tricks.runs.seed import ABOUT, RESULT, STATE, finished_result
from cifar_tricks.tracking.store import find_store


def report_damage(repair: bool) -> int:
    """Checks everything and prints what is damaged.

    Args:
        repair: whether to make good what can be made good.

    Returns:
        0 where all was sound, 1 where something was not.

    Raises:
        UserError: this is no DVC repository, or its dvc.lock cannot be read.
    """
    started = time.monotonic()
    verification = verify()
    for damage in verification.damages.values():
        print(f"{damage.path}: {damage.what}; {damage.remedy}")
    print(
        f"{verification.num_files} files, {verification.num_bytes / 1e9:.2f} GB, read in "
        f"{time.monotonic() - started:.0f} s: {len(verification.damages)} damaged"
    )
    if repair and verification.damages:
        _repair(verification)
    return 1 if verification.damages else 0


def verify() -> Verification:
    """Reads DVC's cache and outputs, downloads, unfinished trainings, and MLflow's database.

    Raises:
        UserError: this is no DVC repository, or its dvc.lock cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    verification = Verification()
    try:
        repo = Repo()
        outputs = list(repo.index.outs)
    except DvcException as error:
        raise UserError(f"DVC: {' '.join(str(error).split())}") from error
    cache = Path(repo.cache.local.path)
    check_cache(verification, cache)
    for output in outputs:
        check_output(verification, output, cache)
    _check_downloads(verification)
    _check_runs(verification)
    _check_records(verification)
    _check_states(verification)
    _check_database(verification)
    return verification


def _check_downloads(verification: Verification) -> None:
    folder = project_root() / "data" / "downloads"
    for asset in (*ALL_ASSETS, *BACKBONE_ASSETS.values(), PHOTO):
        # Mirrors have the same file.
        for name, source in {source.file_name: source for source in asset.sources}.items():
            path = folder / name
            if path.exists() and path not in verification.damages:
                verification.num_files += 1
                verification.num_bytes += path.stat().st_size
                if not source.is_intact(path):
                    remedy = f"rm {path} && dvc repro --force --single-item download"
                    verification.found(path, f"not what {asset.name} is", remedy, delete=True)


def _check_runs(verification: Verification) -> None:
    """Runs of all scales: dvc.lock knows only the one that was run last."""
    for path in sorted(Path("runs").glob("*/*/run.json")):
        try:
            run = read_run(path.parent.parent.name, path.parent.name)
            for seed, result in run.seeds.items():
                read_history(run, seed)
                weights = seed_folder(run.scale, run.key, seed) / "model.safetensors"
                if result.origin.recorded:
                    read_answers(run, seed)
                elif read_arrays(weights).sha256 != result.weights_sha256:
                    raise UserError(f"{weights} is not the file of {path}; {restored(weights)}")
                verification.num_files += 2
            verification.num_files += 1
        except UserError as error:
            _take(verification, path, error)


def _check_records(verification: Verification) -> None:
    for path in sorted(Path("records").glob("*/*/*.json")):
        verification.num_files += 1
        try:
            read_record(path)
        except UserError as error:
            _take(verification, path, error)


def _check_states(verification: Verification) -> None:
    for path in sorted((project_root() / "resume").glob(f"*/{RESULT}")):
        verification.num_files += 3
        try:
            finished_result(path.parent)
        except UserError as error:
            _take(verification, path, error)
    for path in sorted((project_root() / "resume").glob(f"*/{STATE}")):
        verification.num_files += 1
        try:
            read_arrays(path, remedy=f"rm -r {path.parent}, and the run starts anew")
            json.loads((path.parent / ABOUT).read_bytes())
        except UserError as error:
            _take(verification, path, error)
        except (OSError, ValueError):
            description = path.parent / ABOUT
            verification.found(description, "damaged", f"rm {description}", delete=True)


def _take(verification: Verification, path: Path, error: UserError) -> None:
    """Notes what a reader said about a file; its message begins with the file's name."""
    name, _, rest = str(error).partition(" is ")
    what, _, remedy = rest.partition("; ")
    verification.found(Path(name) if rest else path, what or str(error), remedy)


def _check_database(verification: Verification) -> None:
    file = find_store().file
    if file is None or not file.exists():
        return
    verification.num_files += 1
    verification.num_bytes += file.stat().st_size
    remedy = f"rm {relative(file)} && dvc repro --force --single-item track"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        verification.found(relative(file), f"MLflow's database: {answer}", remedy)


def _repair(verification: Verification) -> None:
    """Deletes what is damaged where it can be made anew, and lets DVC bring back what it can."""
    for damage in verification.damages.values():
        if damage.delete:
            damage.path.unlink(missing_ok=True)
            if damage.source:
                shutil.copyfile(damage.source, damage.path)
    print("deleted what can be made anew; dvc checkout:", flush=True)
    code = subprocess.run([*DVC, "checkout", "--force"]).returncode
    print("make verify again; what is still missing is made by: dvc repro" if code else "restored")
