"""A tiny study on record, and fresh clones of it: the state in which a newcomer meets this project.

The origin holds the files that git tracks here as they are now, with a small ``params.yaml``, and
what it reproduced once is committed. A clone of it has no cache, no store and no results but the
committed ones; only the data, which would need a network, are taken along.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from helpers.dvc_repository import write_backbone
from helpers.project import ROOT
from helpers.synthetic_images import write_data
from helpers.tiny_params import README

from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants

# Without `setup`, which would renew the environment that the tests run in.
MAKE = "make --old-file=setup --old-file=setup-dev"
RESULTS = ("reports/", "records/", "dvc.lock")
OUTPUTS_OF_DOWNLOAD = ("dataset", "pretrained", "images", "manifest.json", "params.valid")


class Checkout:
    """A folder with the project, and a user with a home of their own who works in it.

    Args:
        folder: it is there already.
        home: likewise; with an empty ``home`` and ``tmp``.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        # The environment that the tests run in stands for what `make setup` would make.
        (folder / ".venv").symlink_to(sys.prefix)
        with (folder / ".git/info/exclude").open("a") as file:
            file.write("/.venv\n")
        # DVC's experiments are commits.
        self.git("config", "user.name", "test")
        self.git("config", "user.email", "test@example.org")
        self.environment = {
            "PATH": os.defpath + os.pathsep + "/usr/local/bin",
            "HOME": str(home / "home"),
            "TMPDIR": str(home / "tmp"),
            "LANG": "C.UTF-8",
            "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        }

    @contextmanager
    def started(self, command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A command of the README, as its reader would type it; whatever is left of it at the end
        is killed."""
        if command.startswith("make "):
            command = command.replace("make ", f"{MAKE} ", 1)
        else:
            command = f". .venv/bin/activate && {command}"
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def run(self, command: str, **environment: str) -> str:
        """What a command printed; it must succeed."""
        with self.started(command, **environment) as process:
            output = process.communicate(timeout=900)[0]
        assert process.returncode == 0, f"{command}: exit code {process.returncode}\n{output}"
        assert "Traceback" not in output, output
        return output

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state")

    def text(self, path: str) -> str:
        return (self.folder / path).read_text("utf-8")

    @contextmanager
    def scale(self, name: str) -> Iterator[None]:
        """With another ``scale`` in params.yaml."""
        params = self.folder / "params.yaml"
        before = params.read_bytes()
        params.write_bytes(before.replace(b"scale: quick", f"scale: {name}".encode()))
        try:
            yield
        finally:
            params.write_bytes(before)

    @property
    def study(self) -> list[str]:
        """What :meth:`logged` is once everything of params.yaml is logged."""
        params = load_params(self.folder / "params.yaml")
        seeds = ["seed"] * len(params.seeds)
        return sorted(f"{key} {role}" for key in variants(params) for role in ("variant", *seeds))

    def logged(self, store: str = "mlflow.db", *, experiments: bool = False) -> list[str]:
        """What an MLflow store holds finished runs of: each variant and its seeds, sorted, so that
        one that was logged twice is there twice; of the study, or of DVC's experiments."""
        query = """
            select variant.value || ' ' || role.value from runs
            join experiments using (experiment_id)
            join tags role on role.run_uuid = runs.run_uuid and role.key = 'role'
            join tags variant on variant.run_uuid = runs.run_uuid and variant.key = 'variant'
            left join tags trial on trial.run_uuid = runs.run_uuid and trial.key = 'dvc.experiment'
            where runs.lifecycle_stage = 'active' and status = 'FINISHED'
            and experiments.name = 'cifar-tricks/quick' and (trial.value is not null) = ?
        """
        return sorted(self._ask(store, query, int(experiments)))

    def champions(self, store: str = "mlflow.db") -> list[str]:
        """Names of the registered models that have a champion."""
        query = "select name from registered_model_aliases where alias = 'champion'"
        return self._ask(store, query)

    def _ask(self, store: str, query: str, *values: int) -> list[str]:
        path = self.folder / store
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute(query, values)]


def make_place(folder: Path) -> Path:
    """A new folder with an empty home and an empty folder for temporary files."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True)
    return folder


def make_origin(place: Path) -> Checkout:
    """The tiny study, reproduced and committed."""
    folder = place / "origin"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith(RESULTS) and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "params.yaml").write_text(README)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    origin = Checkout(folder, place)
    origin.commit()
    origin.run("dvc repro --quiet check")
    write_data(folder)
    (folder / "data/manifest.json").write_text('{"assets": {}, "files": {}}\n')
    write_backbone(folder)
    origin.run("dvc commit --quiet --force download")
    origin.run("make repro")
    with origin.scale("full"):
        origin.run("make share SEEDS=0 KEYS=model1-baseline")
    origin.commit()
    return origin


def make_clone(
    origin: Checkout, place: Path, name: str, *, cache: Path | None = None, data: bool = True
) -> Checkout:
    """A fresh clone.

    Args:
        origin: what is cloned.
        place: where, see :func:`make_place`.
        name: of its folder.
        cache: of DVC, shared with other clones; one of its own where None.
        data: whether its downloads are there already.
    """
    folder = place / name
    subprocess.run(["git", "clone", "--quiet", str(origin.folder), str(folder)], check=True)
    clone = Checkout(folder, place)
    if cache:
        clone.run(f"dvc config --local cache.dir '{cache}'")
    if data:
        for output in OUTPUTS_OF_DOWNLOAD:
            source, target = origin.folder / "data" / output, folder / "data" / output
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            target.parent.mkdir(exist_ok=True)
            copy(source, target)
        clone.run("dvc commit --quiet --force download")
    return clone
