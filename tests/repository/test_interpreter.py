"""Stages run the project's own interpreter, whatever shell, PATH and variables surround it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT

BASE = Path(getattr(sys, "_base_executable", sys.executable))
needs_venv = pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="no virtual environment")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the running environment as its `.venv`."""
    folder = tmp_path_factory.mktemp("a project")
    for name in ("src", "stages", ".dvc/plots"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvc/config", "dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copyfile(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    # A shell as tcsh is one: it sets its own PATH, where `python` has no packages.
    (folder / "other").mkdir()
    (folder / "other/python").symlink_to(BASE)
    shell = folder / "other/shell"
    shell.write_text(f"#!/bin/sh\nPATH='{folder}/other:/usr/bin:/bin' exec /bin/sh \"$@\"\n")
    shell.chmod(0o755)
    # What another tool's PYTHONPATH may bring.
    (folder / "foreign/pydantic").mkdir(parents=True)
    (folder / "foreign/pydantic/__init__.py").write_text("raise SystemError('foreign')\n")
    return folder


def run(project: Path, *command: str, code: int = 0, **more: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    done = subprocess.run(
        command,
        cwd=project,
        env=kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@needs_venv
def test_dvc_in_a_shell_with_another_python(project: Path) -> None:
    command = (sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "check")
    surroundings = {"PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2", "PYTHONNOUSERSITE": "1"}
    run(project, *command, SHELL=str(project / "other/shell"), **surroundings)
    assert (project / "data/params.valid").exists()


@needs_venv
@pytest.mark.parametrize("python", ["python", str(BASE)])
def test_a_stage_by_hand(project: Path, python: str) -> None:
    more = {"PYTHONPATH": str(project / "foreign"), "PYTHONSAFEPATH": "1"}
    run(project, python, "stages/check.py", **more)
    # A queued experiment runs in a copy without .venv.
    copy = project / "copy"
    for name in ("src", "stages"):
        shutil.copytree(project / name, copy / name, dirs_exist_ok=True)
    shutil.copyfile(project / "params.yaml", copy / "params.yaml")
    run(copy, python, "stages/check.py", DVC_ROOT=str(project), **more)
    assert (copy / "data/params.valid").exists()


@needs_venv
def test_the_door_needs_no_shell_of_the_user(project: Path) -> None:
    program = "import subprocess, sys; from cifar_tricks.commands.setup import use_own_interpreter;"
    program += "use_own_interpreter(); from cifar_tricks.commands.processes import DVC;"
    program += "sys.exit(subprocess.call([*DVC, 'repro', '--force', '--single-item', 'check']))"
    more = {"PYTHONPATH": str(project / "src"), "PATH": "/usr/bin:/bin"}
    run(project, sys.executable, "-c", program, SHELL="/bin/false", **more)
    # Another interpreter, and what another tool set, give way to .venv.
    more["PYTHONPATH"] += os.pathsep + str(project / "foreign")
    output = run(project, str(BASE), "-m", "cifar_tricks", "predict", code=2, **more)
    assert output == "error: no photo given: make predict IMAGE=photo.jpg\n"


@needs_venv
def test_without_an_environment_the_running_interpreter_is_right(project: Path) -> None:
    copy = project / "alone"
    for name in ("src", "stages"):
        shutil.copytree(project / name, copy / name)
    shutil.copyfile(project / "params.yaml", copy / "params.yaml")
    run(copy, sys.executable, "stages/check.py")
    output = run(copy, str(BASE), "stages/check.py", code=2)
    told = [line for line in output.splitlines() if not line.startswith("note: ")]
    assert len(told) == 1 and "has no package" in told[0] and told[0].endswith(": make setup")


@needs_venv
def test_a_photo_in_the_home_folder(project: Path) -> None:
    photo = project / "home/photo.jpg"
    photo.parent.mkdir()
    more = {"HOME": str(photo.parent), "PYTHONPATH": str(project / "src")}
    command = (sys.executable, "-m", "cifar_tricks", "predict", "--", "~/photo.jpg")
    assert f"error: {photo} does not exist" in run(project, *command, code=2, **more)
    params = project / "params.yaml"
    before = params.read_text()
    params.write_text(re.sub(r"  image: .*", "  image: ~/photo.jpg", before))
    output = run(project, sys.executable, "stages/check.py", code=2, **more)
    params.write_text(before)
    assert (
        output.splitlines()[-1]
        == f"error: ~/photo.jpg does not exist; ~ is no folder: write {photo}"
    )


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_no_recipe_looks_for_a_program_of_the_environment() -> None:
    """GNU make 3.81 looks for the first word of a simple recipe on the PATH it was started with."""
    makefile = (ROOT / "Makefile").read_text()
    assert "export PATH" not in makefile
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", makefile, re.MULTILINE)
    assert phony and set(phony[1].replace("\\", "").split()) == {*targets()}
    commands = subprocess.run(
        ["make", "-n", *targets()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = commands.replace("\\\n", "").splitlines()
    words = {line.split()[0] for line in lines if line.strip()}
    assert words <= {".venv/bin/python", "FAULTS_TABLE=docs/faults.md", "if", "for", "sed", "rm"}


@pytest.mark.parametrize("name", ["a$b.jpg", 'it\'s "odd".jpg', "$(shell id) `id`.jpg", "--help"])
@needs_venv
def test_make_passes_any_name_on(project: Path, name: str) -> None:
    shutil.copyfile(ROOT / "Makefile", project / "Makefile")
    recipe = re.search(r"^predict:.*\n\t@(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    with (project / "Makefile").open("a") as file:
        file.write(f"\npredict-only:\n\t@{recipe[1]}\n")
    output = run(project, "make", "predict-only", f"IMAGE={name}", code=2)
    assert output.startswith(f"error: {name} does not exist")
