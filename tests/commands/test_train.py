"""One process that trains before DVC's stages publish: the bytes of a process for each."""

import shutil
from pathlib import Path

import pytest
from helpers.dvc_repository import Repository, reproduced
from helpers.made_once import MadeOnce
from helpers.workplace import workplace  # noqa: F401 - a fixture

from cifar_tricks.commands import train
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.repro import train_due
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants

KEYS = ("model2-leaky_relu", "combine-both")


def test_what_was_trained_ahead_is_only_published_to_the_same_bytes(
    made_once: MadeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Repository.at(made_once("reproduced", reproduced))
    ignored = shutil.ignore_patterns("runs", "cache")
    shutil.copytree(plain.folder, tmp_path / "ahead", symlinks=True, ignore=ignored)
    ahead = Repository.at(tmp_path / "ahead")
    known = variants(load_params(plain.params))
    chosen = [known[key] for key in KEYS]
    command = ("dvc", "repro", "--single-item", *(one.stage for one in chosen))
    monkeypatch.chdir(ahead.folder)
    monkeypatch.setenv("PYTHONPATH", str(ahead.folder / "src"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert train_due(Commands(), chosen) == 0
    assert not Path("runs").exists() and len(list(Path("resume").glob("*/result.json"))) == 2
    assert ahead.run(*command).count("already trained, kept") == 2
    assert ahead.lock == plain.lock
    assert not list(Path("resume").glob("*/result.json"))
    # Nothing is due any more.
    assert train_due(Commands(), chosen) == 0
    assert not list(Path("resume").glob("*/result.json"))


@pytest.mark.usefixtures("workplace")
def test_a_variant_that_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("data/augmented.safetensors").write_bytes(b"damaged")
    assert train.main(["model2-augment", "model2-baseline"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (finished,) = Path("resume").glob("*/result.json")
    assert finished.parent.name.startswith("model2-baseline-seed=0-")
