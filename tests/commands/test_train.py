"""Processes that train before DVC's stages publish: the bytes of a process for each."""

import shutil
from pathlib import Path

import pytest
from helpers.dvc_repository import Repository
from helpers.workplace import workplace  # noqa: F401 - a fixture

from cifar_tricks.commands import train
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.repro import changed_stages, train_due
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.ahead import AHEAD, is_ahead, take_ahead

KEYS = ("model2-leaky_relu", "combine-both", "model2-augment")


def test_what_was_trained_ahead_is_only_published_to_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    plain, ahead = Repository(tmp_path / "plain"), Repository.at(tmp_path / "ahead")
    plain.run("dvc", "repro", "--quiet", "augment")
    shutil.copytree(plain.folder, ahead.folder, symlinks=True)
    params = load_params(plain.params)
    chosen = [variants(params)[key] for key in KEYS]
    stages = [one.stage for one in chosen]
    plain.run("dvc", "repro", "--single-item", *stages)
    monkeypatch.chdir(ahead.folder)
    monkeypatch.setenv("PYTHONPATH", str(ahead.folder / "src"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert dict(changed_stages(stages)) == dict.fromkeys(stages, True)
    assert train_due(Commands(), params, chosen, 2) == 0
    assert capfd.readouterr().out.count("trained already, published") == 3
    assert ahead.lock == plain.lock
    assert not list(AHEAD.glob("*/*")) and not list(Path("resume").glob("*/result.json"))
    # What DVC's cache has is not trained again.
    shutil.rmtree("runs")
    assert dict(changed_stages(stages)) == dict.fromkeys(stages, False)
    assert train_due(Commands(), params, chosen, 2) == 0
    assert "published" not in capfd.readouterr().out
    assert ahead.lock == plain.lock and not dict(changed_stages(stages))
    # Nor what its run cache has.
    (leaky, *_), before = stages, ahead.params.read_text()
    ahead.edit("negative_slope: 0.1", "negative_slope: 0.2")
    for runs in (True, False):
        ahead.run("dvc", "repro", "--quiet", "augment")
        assert dict(changed_stages(stages)) == {leaky: runs}
        params = load_params()
        assert train_due(Commands(), params, [variants(params)[KEYS[0]]], 2) == 0
        assert ("published" in capfd.readouterr().out) is runs
        ahead.params.write_text(before)
    assert ahead.lock == plain.lock


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
@pytest.mark.parametrize("touched", ["params.yaml", "data/cifar10/train.safetensors"])
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
