"""Processes that train before DVC's stages publish: the bytes of a process for each."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from helpers.dvc_repository import Repository
from helpers.workplace import outputs, workplace  # noqa: F401 - a fixture

from cifar_tricks.commands import train
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.repro import changed_stages, train_due
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.ahead import AHEAD, is_ahead, take_ahead

KEYS = ("model2-leaky_relu", "combine-both", "model2-augment")


def test_what_was_trained_ahead_is_only_published_to_the_same_bytes(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, before = repository.lock, repository.params.read_text()
    shutil.copytree(repository.folder, tmp_path / "ahead", symlinks=True)
    ahead = Repository.at(tmp_path / "ahead")
    for one in (repository, ahead):
        one.edit("learning_rate: 0.05,", "learning_rate: 0.06,")
        one.run("dvc", "repro", "--quiet", "check")
    chosen = [variants(load_params(ahead.params))[key] for key in KEYS]
    stages = [one.stage for one in chosen]
    repository.run("dvc", "repro", "--single-item", *stages)
    monkeypatch.chdir(ahead.folder)
    monkeypatch.setenv("PYTHONPATH", str(ahead.folder / "src"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert dict(changed_stages(stages)) == dict.fromkeys(stages, True)
    assert train_due(Commands(), load_params(), chosen, 2) == 0
    assert capfd.readouterr().out.count(": recorded\n") == 3
    assert ahead.lock == repository.lock != first
    assert not list(AHEAD.glob("*/*")) and not list(Path("resume").glob("*/result.json"))
    # What DVC's cache has is not trained again, be it of these parameters or of earlier ones.
    for lock in (ahead.lock, first):
        shutil.rmtree("runs/quick/model2-augment")
        assert set(dict(changed_stages(stages)).values()) == {False}
        assert train_due(Commands(), load_params(), chosen, 2) == 0
        assert ahead.lock == lock and not dict(changed_stages(stages))
        assert " step " not in capfd.readouterr().out
        ahead.params.write_text(before)
        ahead.run("dvc", "repro", "--quiet", "check")


# DVC, or what `make repro` does in its place, killed before one of DVC's steps.
KILLED = """
import os, signal, sys
from dvc.dvcfile import Lockfile
from dvc.stage import PipelineStage
place, step = {"outs": (PipelineStage, "save_outs"), "lock": (Lockfile, "dump_stages")}[sys.argv[1]]
setattr(place, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
"""
BY_DVC = "from dvc.cli import main; main(['repro', '--single-item', sys.argv[2]])"
BY_US = """
import sys
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.repro import train_due
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
params = load_params()
chosen = [one for one in variants(params).values() if one.stage == sys.argv[2]]
train_due(Commands(), params, chosen, 1)
"""


def test_a_kill_before_dvc_has_recorded_it_loses_no_training(
    repository: Repository, tmp_path: Path
) -> None:
    key, stage = "model2-leaky_relu", "train@model2-leaky_relu"
    repository.edit("learning_rate: 0.05,", "learning_rate: 0.07,")
    repository.run("dvc", "repro", "--quiet", "check")
    python = (sys.executable, "-c")
    source = {"PYTHONPATH": str(repository.folder / "src")}
    said = repository.run(
        sys.executable, "-m", "cifar_tricks.commands.train", key, environment=source
    )
    assert " step " in said
    folder, ahead = (repository.folder / name / "quick" / key for name in ("runs", AHEAD))
    trained = outputs(ahead)
    del trained["stamp.json"]
    for killed in (BY_DVC, BY_US):
        command = (*python, KILLED + killed, "outs", stage)
        said = repository.run(*command, code=-signal.SIGKILL, environment=source)
        assert " step " not in said
        assert outputs(ahead).items() > trained.items() and outputs(folder) == trained
    said = repository.run("dvc", "repro", "--single-item", stage)
    assert f"{key}: trained already, published" in said and outputs(folder) == trained
    # DVC has recorded it, so a stage that is forced trains, and what lies ahead goes.
    shutil.copytree(ahead, tmp_path / "ahead")
    said = repository.run(*python, BY_US, "", stage, environment=source)
    assert " step " not in said and not ahead.exists()
    shutil.copytree(tmp_path / "ahead", ahead)
    said = repository.run("dvc", "repro", "--force", "--single-item", stage)
    assert " step " in said and outputs(folder) == trained and not ahead.exists()


@pytest.mark.usefixtures("workplace")
def test_a_variant_that_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("data/augmented.safetensors").write_bytes(b"damaged")
    assert train.main(["model2-augment", "model2-baseline"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    params = load_params()
    assert [one.key for one in variants(params).values() if is_ahead(params, one)] == [
        "model2-baseline"
    ]


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("touched", ["params.yaml", "data/dataset/train.safetensors"])
def test_what_was_trained_before_a_change_is_not_published(
    touched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert train.main(["model2-baseline"]) == 0
    path = Path(touched)
    if path.suffix == ".yaml":
        path.write_text(path.read_text().replace("learning_rate: 0.05", "learning_rate: 0.06"))
    else:
        path.write_bytes(path.read_bytes())
    assert not take_ahead(load_params(), "model2-baseline")
    assert not Path("runs").exists() and not list(AHEAD.glob("*/*"))
