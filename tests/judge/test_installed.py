"""The wheel in an environment that has what `judge` needs and nothing else."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from helpers.judge_tables import runs, table
from helpers.project import ROOT
from packaging.requirements import Requirement

from cifar_tricks.__main__ import COMMANDS

CORE = {"jinja2", "markupsafe", "numpy", "pandas", "psutil", "scipy", "vl-convert-python"}
SAMPLE = ROOT / "docs/examples/quickstart.csv"


def build(folder: Path) -> Path:
    """The project's wheel; uv builds it without asking an index."""
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--offline", "--wheel"]
    subprocess.run([*command, "--out-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def needed(wheel: Path) -> set[str]:
    """What it names as needed without an extra, and what that needs in turn."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    waiting = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]
    found: set[str] = set()
    while waiting:
        one = Requirement(waiting.pop())
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            name = re.sub("[-_.]+", "-", one.name).lower()
            waiting += [] if name in found else distribution(one.name).requires or []
            found.add(name)
    return found


def link(name: str, site: Path) -> None:
    """Puts an installed package into another environment."""
    for file in distribution(name).files or ():
        top = Path(file.parts[0])
        place = Path(str(distribution(name).locate_file(top)))
        if file.parts[0] not in ("..", "__pycache__") and not (site / top).exists():
            (site / top).symlink_to(place)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and the core; the command in it."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    (site,) = (folder / "env/lib").glob("python*/site-packages")
    for name in needed(wheel):
        link(name, site)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", str(folder / "env/bin/python"), str(wheel)], check=True)
    return folder / "env/bin/cifar-tricks"


def call(command: Path, *arguments: str, folder: Path, code: int = 0) -> tuple[str, str]:
    """Output and messages in a folder that is no project."""
    done = subprocess.run(
        [command, *arguments], cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_the_wheel_needs_no_torch_dvc_or_mlflow(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    assert CORE <= needed(wheel) <= CORE | {"python-dateutil", "pytz", "six", "tzdata"}
    assert wheel.stat().st_size < 2_000_000
    with zipfile.ZipFile(wheel) as archive:
        held = {*archive.namelist()}
    sources = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in held if name.startswith("cifar_tricks/")} >= sources - {
        name for name in sources if not name.startswith("cifar_tricks/")
    }


def test_judge_works_with_the_core_alone(environment: Path, tmp_path: Path) -> None:
    outputs = ("--html", "page.html", "--csv", "out.csv", "--latex", "out.tex")
    output, error = call(environment, "judge", str(SAMPLE), *outputs, folder=tmp_path)
    assert error == "" and "warmup        8" in output
    page = (tmp_path / "page.html").read_text()
    assert "vegaEmbed" in page and "<table" in page and not re.search(r'(src|href)="http', page)
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "out.csv", "out.tex"}
    _, error = call(environment, "judge", "--mlflow", "x", "--value", "y", folder=tmp_path, code=2)
    assert error == "error: --mlflow needs MLflow: pip install 'cifar-tricks[study]'\n"


def test_a_thousand_runs_take_less_than_two_seconds(environment: Path, tmp_path: Path) -> None:
    """From its start to its end; of the processor's time, since others use this machine too."""
    names = [f"v{number}" for number in range(100)]
    (tmp_path / "runs.csv").write_text(table(runs(names, seeds=10)))
    call(environment, "judge", "runs.csv", "--baseline", "v0", folder=tmp_path)  # compiles
    before = os.times()
    call(environment, "judge", "runs.csv", "--baseline", "v0", folder=tmp_path)
    after = os.times()
    used = after.children_user + after.children_system
    assert used - before.children_user - before.children_system < 2


def test_it_imports_nothing_large_where_that_is_installed() -> None:
    program = "import sys; from cifar_tricks.__main__ import run; "
    program += f"run(['judge', {str(SAMPLE)!r}]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "src", capture_output=True, text=True
    )
    loaded = {*done.stdout.splitlines()[-1].split()}
    assert "scipy.special" in loaded
    large = {"torch", "mlflow", "dvc", "pydantic", "scipy.stats", "matplotlib", "vl_convert"}
    assert not large & loaded


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("judge", "doctor")])
def test_every_other_command_says_what_it_lacks(
    environment: Path, tmp_path: Path, name: str
) -> None:
    output, error = call(environment, name, folder=tmp_path, code=2)
    assert output == "" and error.startswith("error: ") and error.count("\n") == 1
    assert "[study]" in error or "clone" in error or "not a git repository" in error
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_uv_installs_it_from_an_index(tmp_path: Path) -> None:
    """With its own dependencies, as `uvx --from . cifar-tricks` does."""
    command = [sys.executable, "-m", "uv", "tool", "run", "--from", str(ROOT), "cifar-tricks"]
    done = subprocess.run(
        [*command, "judge", str(SAMPLE)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "warmup" in done.stdout, done.stderr
