"""The pipeline in a real DVC repository, run once and copied."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Self

import numpy as np
import psutil
import pytest
from helpers.made_once import MadeOnce
from helpers.project import ROOT
from helpers.synthetic_images import write_data
from helpers.tiny_params import PIPELINE
from PIL import Image
from ruamel.yaml import YAML

from cifar_tricks.base.arrays import write_arrays
from cifar_tricks.base.files import write_atomically

TRAININGS = {
    "reference",
    "train@model1-baseline",
    "train@model1-augment",
    "train@model2-augment",
    "train@model1-leaky_relu",
    "train@model2-baseline",
    "train@model2-leaky_relu",
    "improve@best",
    "combine@both",
    "sensitivity@batch_8",
    "transfer",
}


# DVC cannot know whether the store has everything, and the code of nets that params.yaml names, so
# these run each time.
LOOKS = {"check", "track"}
READ_TEST_IMAGES = ("evaluate", "experiment")
TRAIN = """
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.repro import train_due
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
raise SystemExit(train_due(Commands(), params := load_params(), [*variants(params).values()], 1))
"""
LEAKY = {"train@model1-leaky_relu", "train@model2-leaky_relu"}


class Repository:
    """A DVC repository in a temporary folder, with the pipeline and synthetic images."""

    def __init__(self, folder: Path, params: str = PIPELINE) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name in ("src", "stages", ".dvcignore", ".gitignore", "dvc.yaml"):
            take = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            take(ROOT / name, folder / name)
        shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
        (folder / "benchmarks").mkdir()
        shutil.copyfile(ROOT / "benchmarks/results.json", folder / "benchmarks/results.json")
        for name in ("config", ".gitignore"):
            shutil.copyfile(ROOT / ".dvc" / name, folder / ".dvc" / name)
        self.params = folder / "params.yaml"
        self.params.write_text(params)
        self.run("git", "init", "--quiet")
        self.run("git", "config", "user.name", "test")
        self.run("git", "config", "user.email", "test@example.org")
        self.commit()
        self.run("dvc", "repro", "--quiet", "check")
        write_data(folder)
        (folder / "data/manifest.json").write_text('{"assets": {}, "files": {}}\n')
        write_backbone(folder)
        # The download is what needs a network: its outputs are put there and taken for done.
        self.run("dvc", "commit", "--quiet", "--force", "download")
        self.commit()

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The repository that is in a folder already."""
        repository = cls.__new__(cls)
        repository.folder, repository.params = folder, folder / "params.yaml"
        return repository

    def clone(self, folder: Path, *options: str) -> Self:
        """A fresh clone of what is committed."""
        self.run("git", "clone", "--quiet", "--no-local", *options, ".", str(folder))
        other = self.at(folder)
        other.run("git", "config", "user.name", "test")
        other.run("git", "config", "user.email", "test@example.org")
        return other

    def run(
        self,
        *command: str,
        code: int = 0,
        stdout: IO[str] | int = subprocess.PIPE,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        scripts = Path(sys.executable).parent
        variables = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DVC_STUDIO_OFFLINE": "1",
        }
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "PYTHONPATH"):
            variables.pop(name, None)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables | dict(environment),
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout or ""

    def repro(self, *arguments: str) -> set[str]:
        """Runs `dvc repro`; the names of the stages that ran."""
        return stages_run(self.run("dvc", "repro", *arguments))

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state", "--allow-empty")

    def edit(self, before: str, after: str) -> None:
        text = self.params.read_text()
        assert before in text
        self.params.write_text(text.replace(before, after))

    @property
    def lock(self) -> bytes:
        return (self.folder / "dvc.lock").read_bytes()


def stages_run(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, made_once: MadeOnce) -> Repository:
    """A copy of the whole pipeline after one run."""
    folder = tmp_path_factory.mktemp("a repository") / "copy"
    shutil.copytree(made_once("reproduced", reproduced), folder, symlinks=True)
    return Repository.at(folder)


def reproduced(folder: Path) -> None:
    """Makes a new repository with everything trained and committed.

    The stages that have no need of the test images run while these are elsewhere, the trainings as
    `make repro` does it, in one process.
    """
    repository = Repository(folder)
    images = folder / "data/dataset/test.safetensors"

    @contextlib.contextmanager
    def without_images() -> Iterator[None]:
        images.rename(folder / "elsewhere")
        yield
        (folder / "elsewhere").rename(images)

    with without_images():
        ran = repository.repro("--single-item", "augment")
        said = repository.run(
            sys.executable, "-c", TRAIN, environment={"PYTHONPATH": str(folder / "src")}
        )
        ran |= {line.split(": ")[0] for line in said.splitlines() if line.endswith(": recorded")}
        assert ran >= TRAININGS
        ran |= repository.repro("--single-item", "exercises")
    ran |= repository.repro("--single-item", *READ_TEST_IMAGES)
    with without_images():
        ran |= repository.repro("--single-item", "visualize", "champion", "report", "track")
    everything = YAML(typ="safe").load(folder / "dvc.yaml")["stages"]
    assert {name.split("@")[0] for name in ran} == everything.keys() - {"check", "download"}
    repository.commit()


@pytest.fixture
def repository(template: Repository) -> Iterator[Repository]:
    """The same for each test: everything trained and committed."""
    with put_back(template):
        yield template


@contextlib.contextmanager
def put_back(template: Repository) -> Iterator[None]:
    """Leaves the repository as it was before."""
    before = run_cache(template)
    yield
    for name in experiments(template):
        template.run("git", "update-ref", "-d", name)
    # What a test took over from a record would be taken for what another one trains.
    for entry in run_cache(template) - before:
        entry.unlink()
        with contextlib.suppress(OSError):  # other results lie there too
            entry.parent.rmdir()  # DVC fails on an empty one
    template.run("git", "reset", "--quiet", "--hard")
    template.run("git", "clean", "--quiet", "-fd")
    template.run("dvc", "checkout", "--quiet", "--force")


def run_cache(repository: Repository) -> set[Path]:
    """What DVC knows of runs of stages: a file for each of their results."""
    return {path for path in (repository.folder / ".dvc/cache/runs").rglob("*") if path.is_file()}


def logged_variants(store: Path) -> list[str]:
    """The variants in a store, each as often as it is logged, and the champion's versions."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        rows = connection.execute(
            "SELECT variant.value FROM runs JOIN tags AS variant USING (run_uuid)"
            " JOIN tags AS role USING (run_uuid) WHERE runs.status = 'FINISHED'"
            " AND variant.key = 'variant' AND role.key = 'role' AND role.value = 'variant'"
            " UNION ALL SELECT 'champion ' || version FROM registered_model_aliases"
        )
        return sorted(name for (name,) in rows)


def experiments(repository: Repository) -> list[str]:
    """Git's names of those that ended well."""
    return repository.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()


@contextlib.contextmanager
def queue_workers(repository: Repository) -> Iterator[None]:
    """Two of DVC's workers, which are ended afterwards: now and then they do not end themselves."""
    # With a pipe for its output one would wait for the workers, who inherit it.
    with (repository.folder / ".dvc/tmp/queue.log").open("w") as log:
        command = ("dvc", "queue", "start", "-j", "2")
        repository.run(*command, stdout=log)
    yield
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            command = process.info["cmdline"] or ()
            if "queue" in " ".join(command) and process.cwd() == str(repository.folder):
                process.kill()


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "PYTHONPATH"):
        kept.pop(name, None)
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | more


class Started:
    """A command in a group of its own, so that Ctrl-C can be sent to all of it.

    Its output goes to a file: a pipe that nobody reads would hold up whoever fills it.
    """

    def __init__(self, folder: Path, *command: str, **more: str) -> None:
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**more),
            stdout=self.file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self.process.pid

    @property
    def output(self) -> str:
        self.file.seek(0)
        return self.file.read()

    def end(self, *, seconds: float = 60, kind: signal.Signals | None = None) -> tuple[int, str]:
        """Waits for its end, after a signal to the group if any; exit code and output."""
        if kind is not None:
            os.killpg(self.pid, kind)
        return self.process.wait(seconds), self.output

    def first_steps(self, number: int) -> dict[str, int]:
        """Where so many trainings went on, by variant."""
        steps: dict[str, int] = {}

        def all_there() -> bool:
            steps.clear()
            for line in self.output.splitlines():
                key, found, rest = line.partition(" seed 0: step ")
                if found and "/" in rest:
                    steps.setdefault(key, int(rest.split("/")[0]))
            return len(steps) >= number

        try:
            wait_for(all_there)
        except AssertionError as error:
            raise AssertionError(self.output[-3000:]) from error
        return steps


def wait_for(condition: Callable[[], Any], *, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def write_backbone(folder: Path, *, used: str | None = "resnet18") -> None:
    """A ResNet-18 with random weights, or word that none could be had, and a photo."""
    shutil.rmtree(folder / "data/pretrained", ignore_errors=True)
    choice = json.dumps({"used": used, "wanted": ["resnet18"]})
    write_atomically(folder / "data/pretrained/backbone.json", choice.encode())
    if used:
        import torch  # slow to import, as is torchvision
        import torchvision

        torch.manual_seed(0)
        weights = {n: v.numpy() for n, v in torchvision.models.resnet18().state_dict().items()}
        write_arrays(folder / f"data/pretrained/{used}.safetensors", weights)
    colours = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    (folder / "data/images").mkdir(exist_ok=True)
    Image.fromarray(colours).save(folder / "data/images/photo.jpg")
