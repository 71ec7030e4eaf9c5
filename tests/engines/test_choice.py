"""A mistake about the engine is one line, before any work."""

import pytest
from helpers.project import ROOT

from cifar_tricks.__main__ import run


@pytest.mark.parametrize("command", ["share", "repro"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--engine ry", "ENGINE = ry: did you mean ray? valid: local, ray, slurm"),
        ("--engine cloud", "ENGINE = cloud: valid: local, ray, slurm"),
        ("--gpus 1", "GPUS is for ENGINE=ray or slurm, not local"),
        ("--engine-address a:1", "ENGINE_ADDRESS is for ENGINE=ray, not local"),
        ("--engine ray --dry-run", "--dry-run is for ENGINE=slurm, not ray"),
        ("--weights", "--weights is for ENGINE=ray or slurm, not local"),
        ("--engine slurm --insecure", "--insecure is for ENGINE=ray, not slurm"),
        ("--engine slurm --gpus 0.5", "GPUS = 0.5: valid: a whole number; a part of one: SBATCH="),
        ("--engine ray --gpus 1.5", "GPUS = 1.5: valid: a whole number, or a part of one such as"),
        ("--engine ray --gpus nan", "GPUS = nan: valid: a whole number, or a part of one such as"),
        ("--engine slurm --dry-run --sbatch='a", "SBATCH = 'a: No closing quotation"),
    ],
)
def test_a_mistake_is_one_line(
    command: str,
    given: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    for option in {"--weights", "--dry-run"} & {*given.split()} if command == "repro" else ():
        message = f"{option}: no such option of repro; "
    assert run([command, *given.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1
    assert told.out == ""
