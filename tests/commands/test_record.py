"""Several variants in one process: the bytes of each alone, and a failure leaves the others be."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.workplace import edit, stage, workplace  # noqa: F401 - a fixture

from cifar_tricks.base.signed_json import read_signed
from cifar_tricks.commands import record
from cifar_tricks.commands.processes import Commands
from cifar_tricks.engines.jobs import Failed, Job, Trained
from cifar_tricks.engines.local import Local
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs import side_by_side
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.records import difference, read_record

KEYS = ("model2-adam", "model2-augment_online")
JOBS = [Job(key, [0]) for key in KEYS]


def study() -> Study:
    return Study(load_params(), "cifar_tricks.commands.record")


def content(key: str) -> dict[str, object]:
    """A record without its wall time."""
    found = read_signed(Path(f"records/quick/{key}/seed=0.json").read_bytes())
    del found["run"]["seeds"]["0"]["origin"]["seconds"]
    return found


@pytest.fixture
def sources(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("PYTHONPATH", str(workplace / "src"))


@pytest.mark.usefixtures("sources")
def test_one_process_for_all_variants_gives_the_bytes_of_one_for_each() -> None:
    found = []
    for in_turn in (True, False):
        ended = list(Local(1, in_turn=in_turn).run(study(), JOBS, Commands()))
        assert {(one.key, one.seed) for one in ended if isinstance(one, Trained)} == {
            (key, 0) for key in KEYS
        }
        found.append(json.dumps([content(key) for key in KEYS]))
        for folder in ("records", "resume", "logs"):
            Path(folder).rename(f"{folder}-{in_turn}")
    assert found[0] == found[1]


@pytest.mark.usefixtures("sources")
def test_a_variant_that_fails_leaves_the_others_alone_and_is_told_in_a_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    damaged = Path("records/quick/model2-adam/seed=0.json")
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{}")
    ended = list(Local(1, in_turn=True).run(study(), JOBS, Commands()))
    output = capfd.readouterr().out
    assert output.count("error:") == 1 and f"error: {damaged} is damaged" in output
    assert content(KEYS[1])
    assert any(isinstance(one, Failed) or one.key == KEYS[0] for one in ended)
    damaged.unlink()
    again = list(Local(1, in_turn=True).run(study(), JOBS, Commands()))
    assert all(isinstance(one, Trained) for one in again) and content(KEYS[0])


@pytest.mark.fault("kill")
@pytest.mark.usefixtures("sources")
def test_a_killed_process_keeps_what_it_recorded(capfd: pytest.CaptureFixture[str]) -> None:
    edit("num_epochs: 3", "num_epochs: 100")
    edit("early_stop_count: 4", "early_stop_count: 100000")
    first, second = (Path(f"records/quick/{key}/seed=0.json") for key in KEYS)
    command = [sys.executable, "-m", "cifar_tricks.commands.record"]
    process = subprocess.Popen([*command, KEYS[0], "0", "--", KEYS[1], "0"])
    while not first.exists() and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert first.exists() and not second.exists()
    before = first.read_bytes()
    assert record.main([KEYS[0], "0", "--", KEYS[1], "0"]) == 0
    assert first.read_bytes() == before and second.exists()


@pytest.mark.usefixtures("workplace")
def test_memory_that_runs_out_ends_one_variant_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = side_by_side.fit

    def out_of_memory(recipe: object, *given: object, **more: object) -> object:
        if "Adam" in recipe.optimizer.target:  # type: ignore[attr-defined]
            raise side_by_side.torch.OutOfMemoryError
        return fit(recipe, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(side_by_side, "fit", out_of_memory)
    assert record.main([KEYS[0], "0", "--", KEYS[1], "0"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "memory ran out with 1 seed of model2-adam" in told[0]
    assert not Path("records/quick/model2-adam").exists() and content(KEYS[1])


@pytest.mark.usefixtures("workplace")
def test_a_scale_of_another_device_is_neither_trained_nor_taken_over_here(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert record.main([KEYS[0], "0"]) == 0
    edit("    threads: 1 ", "    device: cuda\n    threads: 1 ")
    assert record.main([KEYS[0], "0"]) == 2
    told = capsys.readouterr().err
    assert "scales.quick.device = cuda: model2-adam would be trained on cpu here" in told
    path = Path("records/quick/model2-adam/seed=0.json")
    differing = difference(read_record(path), plan(load_params(), KEYS[0]))
    assert differing == "device = cpu, here cuda"
    process = stage("stages/train.py", KEYS[0])
    output, _ = process.communicate()
    assert process.returncode == 2 and not Path("runs").exists()
    assert f"{path} is not taken over: {differing}" in output
    assert output.count("error:") == 1 and "would be trained on cpu here" in output
