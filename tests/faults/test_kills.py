"""Trainings that are killed at random moments, and what the next start makes of it."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers.workplace import OFTEN, edit, outputs, patch, stage, states

from cifar_tricks.base.arrays import read_arrays

Record = Callable[[str, object], None]
POINTS = 20
SLOWLY = (
    "src/cifar_tricks/base/files.py",
    "        temporary.write_bytes(data)\n",
    """\
        with temporary.open("wb") as file:
            for start in range(0, len(data), 1 + len(data) // 8):
                file.write(data[start : start + 1 + len(data) // 8])
                file.flush()
                __import__("time").sleep(0.01)
""",
)


def finish(key: str) -> str:
    process = stage("stages/train.py", key)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def leftovers() -> list[Path]:
    return list(Path().rglob(".tmp-*"))


@pytest.mark.fault("kill", tried=POINTS)
@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    ["model1-dropout", "model2-adam", "model1-augment_online", "combine-model2_adam_batch_norm"],
)
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_bytes(
    key: str, workplace: Path
) -> None:
    """Each kill comes at a random time after the training took up its state."""
    patch(*OFTEN)
    patch(*SLOWLY)
    edit("num_epochs: 3", "num_epochs: 500")
    edit("early_stop_count: 4", "early_stop_count: 4000")
    finish(key)
    whole = outputs(Path("runs"))
    shutil.rmtree("runs")
    chance = random.Random(key)
    steps, while_writing = [], 0
    for _ in range(POINTS):
        process = stage("stages/train.py", key)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "step " in first, first
        steps.append(int(first.split("step ")[1].split("/")[0]))
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.communicate()
        while_writing += bool(leftovers())
    assert not Path("runs").exists(), "it ended before the last kill"
    assert steps == sorted(steps) and steps[-1] > 1, steps
    assert while_writing > 0
    finish(key)
    assert outputs(Path("runs")) == whole
    assert leftovers() == [] and states() == []


@pytest.mark.fault("kill")
@pytest.mark.slow
def test_a_kill_at_any_moment_of_the_start_or_the_end(
    workplace: Path,
    record_property: Record,
) -> None:
    """Also while the results are written and moved to their place."""
    points = 40
    record_property("tried", points)
    patch(*SLOWLY)
    key = "model2-leaky_relu"
    started = time.monotonic()
    finish(key)
    seconds = time.monotonic() - started
    whole = outputs(Path("runs"))
    chance = random.Random(0)
    for _ in range(points):
        shutil.rmtree("runs", ignore_errors=True)
        process = stage("stages/train.py", key)
        # Most of the time is Python's start, where there is nothing to lose.
        time.sleep(seconds * chance.uniform(0.6, 1.02))
        process.kill()
        process.communicate()
        finish(key)
        assert outputs(Path("runs")) == whole
        assert leftovers() == [] and states() == []


@pytest.mark.fault("orphan")
def test_what_a_training_finished_after_its_parent_was_killed_is_not_trained_again(
    workplace: Path,
) -> None:
    """DVC deletes the output, as it never saw the end of the stage."""
    key = "model2-baseline"
    finish(key)
    whole = outputs(Path("runs"))
    assert states() == []
    shutil.rmtree("runs")
    parent = subprocess.Popen(["sh", "-c", f"python stages/train.py {key}; true"])
    wait = time.monotonic() + 60
    while not list(Path("resume").glob(".locks/*.pid")) and time.monotonic() < wait:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    while not Path(f"runs/quick/{key}/run.json").exists() and time.monotonic() < wait:
        time.sleep(0.05)
    while list(Path("resume").glob(".locks/*.pid")) and time.monotonic() < wait:
        time.sleep(0.05)
    assert outputs(Path("runs")) == whole
    shutil.rmtree("runs")
    assert "already trained, kept" in finish(key)
    assert outputs(Path("runs")) == whole and states() == []


@pytest.mark.fault("signal")
@pytest.mark.parametrize("kind", [signal.SIGHUP, signal.SIGINT])
def test_work_that_takes_long_is_cut_short(kind: signal.Signals, workplace: Path) -> None:
    """A signal during the last measurement, which here takes a minute."""
    patch(
        "src/cifar_tricks/training/loop.py",
        "        run.keep_best()\n",
        "        run.keep_best()\n        print('measuring', flush=True)\n"
        "        time.sleep(60 * LONG)\n",
    )
    patch("src/cifar_tricks/training/loop.py", "CHECKPOINTS = 30.0", "CHECKPOINTS = 30.0\nLONG = 1")
    patch("src/cifar_tricks/base/signals.py", "SECONDS_TO_STOP = 5.0", "SECONDS_TO_STOP = 1.0")
    process = stage("stages/train.py", "model2-baseline")
    assert process.stdout is not None
    while "measuring" not in process.stdout.readline():
        assert process.poll() is None
    started = time.monotonic()
    process.send_signal(kind)
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 128 + kind and "Traceback" not in output, output
    (state,) = Path("resume").glob("model2-baseline*/state.safetensors")
    assert json.loads(read_arrays(state).note)["progress"]["step"] == 6


@pytest.mark.fault("signal")
def test_nohup_is_respected(workplace: Path) -> None:
    edit("num_epochs: 3", "num_epochs: 100000")
    edit("early_stop_count: 4", "early_stop_count: 1000000")
    command = ["sh", "-c", 'trap "" HUP; exec python stages/train.py model2-baseline']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        started = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 143 and time.monotonic() - started < 10
    finally:
        if psutil.pid_exists(process.pid):
            process.kill()
            process.communicate()
