"""The one door: what it lists, what it refuses, and that every command behind it is there."""

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers.project import ROOT

from cifar_tricks.__main__ import COMMANDS, EVERYWHERE, run
from cifar_tricks.base.surroundings import settled

# Runs a module as `python -m` does, and Ctrl-C comes when the first package is imported that is
# neither Python's nor this project's.
CTRL_C = """
import os, runpy, signal, sys
from importlib.machinery import PathFinder

class CtrlC:
    @staticmethod
    def find_spec(name, *_):
        foreign = name not in sys.stdlib_module_names and not name.startswith("cifar_tricks")
        if foreign and "." not in name and PathFinder.find_spec(name):
            sys.meta_path.remove(CtrlC)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# What `make share` and `make repro` start.
WORKERS = ("cifar_tricks.commands.record", "cifar_tricks.commands.train")


def door(*arguments: str, code: int = 0) -> str:
    """Output and messages of `python -m cifar_tricks`."""
    done = subprocess.run(
        [sys.executable, "-m", "cifar_tricks", *arguments],
        cwd=ROOT / "src",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_help_has_a_line_for_each_command_and_imports_nothing_large() -> None:
    lines = [line.split() for line in door("--help").splitlines() if line.startswith("    ")]
    assert [(line[0], " ".join(line[1:])) for line in lines] == [
        (name, summary) for name, (summary, _, _) in COMMANDS.items()
    ]
    program = "import sys; from cifar_tricks.__main__ import run; run(['repro', '-x']); "
    program += "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "src", capture_output=True, text=True
    ).stdout.split()
    assert not {"torch", "mlflow", "dvc", "numpy", "pydantic"} & set(loaded)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_its_options(name: str) -> None:
    """Its `-h` lists them, and they are the arguments of its function."""
    _, target, options = COMMANDS[name]
    module, _, function = target.rpartition(".")
    parameters = inspect.signature(getattr(import_module(f"cifar_tricks.{module}"), function))
    assert {option.lstrip("-").replace("-", "_") for option, _ in options} == set(
        parameters.parameters
    )
    shown = door(name, "-h")
    assert all(option in shown or option.upper() in shown for option, _ in options[:-1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("reprp", "reprp: no such command; did you mean repro? valid: setup, repro, share,"),
        ("--jobs 2", "--jobs: no such command; valid: setup"),
        ("repro --job 2", "--job: no such option of repro; did you mean --jobs? valid: --jobs"),
        ("repro --jobs", "argument --jobs: expected one argument"),
        ("repro --jobs 0", "JOBS = 0: valid: auto, or a whole number from 1"),
        ("share --seed=0-2", "--seed=0-2: no such option of share; did you mean --seeds?"),
        ("predict a b", "b: one argument too many for predict"),
        ("ui --port 70000", "PORT = 70000: valid: 1 to 65535"),
        ("ui --hosts *", "UI_HOSTS = *: valid: host names"),
    ],
)
def test_a_mistake_is_one_line(
    given: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(given.split()) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1
    assert told.out == ""


def test_a_wrong_address_of_mlflow_is_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "runs")
    assert run(["repro"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(
        "error: MLFLOW_TRACKING_URI = runs: MLflow keeps no runs in folders;"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"] and told.out == ""


@pytest.mark.parametrize(
    "command",
    # The others do without packages.
    [f"cifar_tricks {name}" for name in COMMANDS if name not in EVERYWHERE]
    + [f"{module} model1-adam 0" for module in WORKERS],
)
def test_ctrl_c_during_the_imports_leaves_a_line(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C, *command.split()],
        cwd=tmp_path,
        env=os.environ | settled(os.environ, tmp_path, stage=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "interrupted\n")
