"""What a training left is damaged; a lock is looked at; a signal comes while commands start."""

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.workplace import stage
from safetensors.numpy import save

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.locks import is_locked, sole_writer
from cifar_tricks.commands import processes, verify
from cifar_tricks.commands.processes import Commands
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.evaluation.classifier import load_classifier
from cifar_tricks.evaluation.score_files import write_predictions
from cifar_tricks.evidence.predictions import read_predictions
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs.folders import read_run
from cifar_tricks.runs.train import train_variant
from cifar_tricks.training.backbones import CHOICE_FILE, used_backbone

KEY = "model2-baseline"
NESTED = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.fault("damage", tried=24)
@pytest.mark.parametrize("name", ["result.json", "history.csv", "model.safetensors"])
def test_a_damaged_finished_seed_is_never_published(name: str, workplace: Path) -> None:
    params = load_params()
    record_seeds(params, KEY, [0])
    (folder,) = Path("resume").glob(f"{KEY}-*")
    good = (folder / name).read_bytes()
    numbers = np.random.default_rng(0)
    for _ in range(8):
        place = int(numbers.integers(len(good)))
        (folder / name).write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(UserError) as error:
            train_variant(params, KEY)
        command = f"rm -r {folder}"
        assert str(error.value).startswith(f"{folder / name} is") and command in str(error.value)
        found = verify.Verification()
        verify._check_states(found)
        assert [str(path) for path in found.damages] == [str(folder / name)]
        assert not Path("runs").exists()
    subprocess.run(["rm", "-r", folder], check=True)
    record = Path("records/quick", KEY, "seed=0.json").read_bytes()
    Path("records/quick", KEY, "seed=0.json").unlink()
    record_seeds(params, KEY, [0])
    again = json.loads(Path("records/quick", KEY, "seed=0.json").read_bytes())
    assert again["history"] == json.loads(record)["history"]


@pytest.mark.fault("damage", tried=400)
def test_no_flip_in_the_predictions_gives_a_traceback(tmp_path: Path) -> None:
    from helpers.synthetic_study import NUM_TEST_IMAGES, _score

    labels = np.arange(NUM_TEST_IMAGES) % 10
    path = tmp_path / "predictions.csv.gz"
    write_predictions(path, labels, [_score("model1-adam", 0, labels)])
    good = path.read_bytes()
    refused = 0
    for number in range(400):
        damaged = bytearray(good)
        damaged[number * len(good) // 400] ^= 1 << number % 8
        path.write_bytes(bytes(damaged))
        try:
            read_predictions(path, 10)
        except UserError as error:
            assert "is damaged: dvc repro --force --single-item evaluate" in str(error)
            refused += 1
    # The rest lies in the header, whose time and system mean nothing.
    assert refused > 380


@pytest.mark.fault("orphan", tried=300)
def test_looking_at_a_lock_refuses_nobody(tmp_path: Path) -> None:
    folder, done = tmp_path / "resume/a", threading.Event()

    def look() -> None:
        while not done.is_set():
            is_locked(folder)

    (tmp_path / "resume/.locks").mkdir(parents=True)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(300):
            with sole_writer(folder):
                pass
    finally:
        done.set()
        looking.join()


@pytest.mark.fault("signal")
def test_a_signal_while_a_command_is_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    all_commands = Commands()

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            all_commands._stop(signal.SIGINT, None)

    monkeypatch.setattr(processes.subprocess, "Popen", Interrupted)
    # Its handlers are what lets a child hear SIGINT where this process was started by `&`.
    with all_commands.ended_by_signals():
        assert all_commands.run(["sleep", "60"]) == -signal.SIGINT
    assert all_commands.run(["sleep", "60"]) == 128 + signal.SIGINT


@pytest.mark.fault("hostile", tried=9)
def test_files_of_any_content_are_refused_in_words(workplace: Path) -> None:
    run = Path("runs/quick", KEY, "run.json")
    run.parent.mkdir(parents=True)
    run.write_bytes(NESTED)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        read_run("quick", KEY)
    run.unlink()
    run.mkdir()
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        read_run("quick", KEY)
    champion = Path("champion")
    champion.mkdir()
    (champion / "model.json").write_bytes(NESTED)
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        load_classifier(champion)
    CHOICE_FILE.parent.mkdir(parents=True, exist_ok=True)
    for content in (NESTED, b'{"used": [1]}'):
        CHOICE_FILE.write_bytes(content)
        with pytest.raises(UserError, match=r"backbone\.json is damaged"):
            used_backbone()
    whole = save({"x": np.zeros((2, 4), np.uint16)})
    for kind in (b"BF16", b"F8_E5M2"):
        Path("x.safetensors").write_bytes(whole.replace(b"U16", kind, 1))
        with pytest.raises(UserError, match=r"x\.safetensors is damaged"):
            read_arrays("x.safetensors")
    header = b'{"x":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}'
    Path("x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match=r"x\.safetensors is damaged"):
        read_arrays("x.safetensors")
    process = stage("stages/train.py")
    assert process.communicate()[0] == "error: train takes the key of a variant, got nothing\n"
    assert process.returncode == 2


@pytest.mark.fault("params", tried=10)
def test_files_that_no_person_writes_are_refused_in_time(workplace: Path) -> None:
    """Tags that raise whatever they like, aliases that stand for millions, far too much of all."""
    text = Path("params.yaml").read_text()
    bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for level in range(1, 12):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    wrong = {
        "tag": ("trick: baseline", "trick: !!bool foo"),
        "integer": ("threads: 1", "threads: !!int ''"),
        "float": ("learning_rate: 0.05", "learning_rate: !!float ''"),
        "aliases": ("scale: quick", f"{bomb}trick2: *a11\nscale: quick"),
        "itself": ("device: auto", "device: &a {x: *a}"),
        "seeds": ("seeds: [0]", f"seeds: {list(range(3000))}"),
        "line end in a key": ("dropout: {probability: 0.25}", 'dropout: {"a\\nb": 1}'),
        "line end in a name": ("dropout: {probability: 0.25}", '"a\\nb": {}'),
        "size": ("scale: quick", "#" * 300_000 + "\nscale: quick"),
    }
    for name, (before, after) in wrong.items():
        assert before in text
        Path("params.yaml").write_text(text.replace(before, after, 1))
        process = stage("stages/check.py")
        output = process.communicate(timeout=10)[0]
        assert process.returncode == 2 and output.count("\n") == 1, (name, output[:2000])
        assert output.startswith("error: params.yaml: ") and len(output) < 500, name
    Path("params.yaml").unlink()
    Path("params.yaml").mkdir()
    process = stage("stages/check.py")
    assert process.communicate(timeout=10)[0] == "error: params.yaml: not a file\n"


@pytest.mark.fault("disk")
def test_make_repro_tells_that_it_cannot_write(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".dvc").mkdir()
    Path(".dvc/tmp").write_text("a file in the way")
    monkeypatch.setenv("PYTHONPATH", "src")
    process = stage("-m", "cifar_tricks", "repro")
    output = process.communicate()[0]
    assert process.returncode == 2
    assert output.startswith("error: cannot write .dvc/tmp") and output.count("\n") == 1
