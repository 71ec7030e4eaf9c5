"""A variant's folder, as other tools rely on it; kill -9 and the lock, with real processes."""

import contextlib
import csv
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.project import ROOT
from helpers.workplace import OFTEN, edit, outputs, patch, stage, states
from safetensors.torch import load_file

from cifar_tricks.base.errors import UserError
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import read_run
from cifar_tricks.runs.side_by_side import groups
from cifar_tricks.runs.train import train_variant
from cifar_tricks.training.loop import Task
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.trainer import Trainer


def test_the_folder_of_a_variant(workplace: Path) -> None:
    edit("seeds: [0]", "seeds: [0, 7]")
    params = load_params()
    train_variant(params, "model1-dropout")
    folder = Path("runs/quick/model1-dropout")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "run.json",
        "seed=0/history.csv",
        "seed=0/model.safetensors",
        "seed=7/history.csv",
        "seed=7/model.safetensors",
    ]
    run = read_run("quick", "model1-dropout")
    assert run.recipe["net"]["dropout"] == {"target": "torch.nn.Dropout", "arguments": {"p": 0.25}}
    assert set(run.seeds) == {0, 7} and run.seeds[0].steps == 6
    assert run.seeds[0].weights_sha256 != run.seeds[7].weights_sha256
    weights = load_file(folder / "seed=0/model.safetensors")
    assert sum(value.numel() for value in weights.values()) == run.num_parameters
    assert {value.dtype for value in weights.values()} == {torch.float32}
    with (folder / "seed=0/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "epoch", "split", "loss", "accuracy"]
    assert [(row["step"], row["split"]) for row in rows[:3]] == [
        ("1", "train"),
        ("1", "validation"),
        ("2", "train"),
    ]
    assert states() == []
    assert json.loads(Path("logs/quick/model1-dropout/seed=7.json").read_bytes())["seconds"] > 0


def test_a_finished_seed_survives_a_later_failure(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("seeds: [0]", "seeds: [0, 1]")
    params = load_params()
    import cifar_tricks.runs.side_by_side as seeds

    fit = seeds.fit

    def fail_on_second(recipe: Recipe, tasks: list[Task], **others: object) -> object:
        if tasks[0].seed == 1:
            raise RuntimeError("power cut")
        return fit(recipe, tasks, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(seeds, "fit", fail_on_second)
    with pytest.raises(RuntimeError):
        train_variant(params, "model2-augment_online")
    monkeypatch.setattr(seeds, "fit", fit)
    train_variant(params, "model2-augment_online")
    assert "already trained, kept" in capsys.readouterr().out
    assert set(read_run("quick", "model2-augment_online").seeds) == {0, 1}


def test_seeds_at_once_write_the_same_folder(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU."""
    edit("seeds: [0]", "seeds: [0, 1, 2]")
    params = load_params()
    key = "model2-dropout"
    train_variant(params, key)
    expected = outputs(Path("runs"))
    shutil.rmtree("runs")
    import cifar_tricks.runs.train as study

    monkeypatch.setattr(study, "groups", lambda trainings, at_once: [trainings])
    train_variant(params, key)
    assert outputs(Path("runs")) == expected
    assert states() == []


@pytest.mark.parametrize(
    ("device", "features", "images", "at_once", "sizes"),
    [
        ("cpu", None, 50, "auto", [1, 1, 1, 1, 1]),
        ("cpu", None, 50, 3, [1, 1, 1, 1, 1]),
        ("cuda", None, 10, "auto", [5]),
        ("cuda", None, 10, 3, [3, 2]),
        ("cuda", "frozen", 45, "auto", [5]),  # all seeds share those of the file
        ("cuda", "frozen", 44, "auto", [1, 1, 1, 1, 1]),
        ("cuda", "frozen", 44, 2, [2, 2, 1]),
    ],
)
def test_how_many_seeds_train_at_once(
    device: str, features: str | None, images: int, at_once: int | str, sizes: list[int]
) -> None:
    recipe = SimpleNamespace(features=features, train_images=images, validation_images=5)
    training = SimpleNamespace(
        device=torch.device(device),
        variant=SimpleNamespace(recipe=recipe),
        arrays={"labels": [0] * 100},
    )
    made = groups([SimpleNamespace(training=training)] * 5, at_once)  # type: ignore[list-item]
    assert [len(group) for group in made] == sizes


@pytest.mark.parametrize("recording", [False, True])
def test_too_little_memory_on_the_gpu_is_one_line(
    recording: bool, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(self: Trainer) -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        finally:
            if recording:
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(Trainer, "train_step", run_out)
    with pytest.raises(UserError, match=r"memory ran out with 1 seed of .*gpu\.seeds_at_once"):
        train_variant(load_params(), "model2-baseline")


def test_tf32_needs_a_gpu(workplace: Path) -> None:
    edit("precision: fp32 ", "precision: tf32 ")
    edit("device: auto", "device: cpu")
    process = stage("stages/train.py", "model2-baseline")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output == ("error: params.yaml: precision = tf32: needs a GPU; valid here: fp32, bf16\n")


@contextlib.contextmanager
def watched(pattern: str) -> Iterator[set[str]]:
    """What whoever reads a file again and again sees in it."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            for path in Path().glob(pattern):
                with contextlib.suppress(FileNotFoundError):  # published in between
                    seen.add(path.read_text())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@pytest.mark.fault("signal", tried=3)
def test_an_interrupted_training_is_resumed_to_the_same_bytes(workplace: Path) -> None:
    edit("num_epochs: 3", "num_epochs: 40")
    edit("early_stop_count: 4", "early_stop_count: 400")
    patch(*OFTEN)  # so that kill -9 finds a state
    key = "model1-dropout"
    stage("stages/train.py", key).communicate(timeout=120)
    whole = outputs(Path("runs"))
    for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        shutil.rmtree("runs")
        interrupt_and_resume(key, kind)
        assert outputs(Path("runs")) == whole, kind


def interrupt_and_resume(key: str, kind: signal.Signals) -> None:
    """Ends a training by a signal, starts it again, and looks at what it leaves each time."""
    history = "resume/*/history.csv"
    process = stage("stages/train.py", key)
    deadline = time.monotonic() + 60
    with watched(history) as seen:
        while not list(Path("resume").glob("*/state.safetensors")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(kind)
        output, _ = process.communicate(timeout=30)
    expected = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[kind]
    assert process.returncode == expected, output
    assert "Traceback" not in output
    assert not Path("runs").exists()
    with watched(history) as seen_again:
        again = stage("stages/train.py", key)
        resumed, _ = again.communicate(timeout=120)
    assert again.returncode == 0, resumed
    whole_history = Path(f"runs/quick/{key}/seed=0/history.csv").read_text()
    assert seen and len(seen_again) > 2
    assert all(whole_history.startswith(text) and text.endswith("\n") for text in seen | seen_again)
    first_step = int(resumed.split("step ")[1].split("/")[0])
    assert first_step > 1, resumed
    assert not list(Path().rglob(".tmp-*")) and states() == []


@pytest.mark.fault("orphan")
def test_a_second_process_on_the_same_run_is_refused_but_for_another_checkout(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("num_epochs: 3", "num_epochs: 100000")
    edit("early_stop_count: 4", "early_stop_count: 1000000")
    copy = shutil.copytree(workplace, tmp_path / "copy of an experiment", symlinks=True)
    monkeypatch.setenv("DVC_ROOT", str(workplace))
    first = stage("stages/train.py", "model2-baseline")
    processes = [first]
    try:
        while not list(Path("resume").glob(".locks/*.pid")):
            assert first.poll() is None
            time.sleep(0.05)
        second = stage("stages/train.py", "model2-baseline")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"process {first.pid};" in output and output.count("\n") == 1
        monkeypatch.chdir(copy)
        third = stage("stages/train.py", "model2-baseline")
        processes.append(third)
        assert third.stdout is not None
        assert third.stdout.readline().startswith("model2-baseline seed 0: step 1/")
        assert len(states()) == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.fault("params")
def test_mistakes_end_with_exit_code_2_and_one_line(workplace: Path) -> None:
    edit("trick: baseline ", "trick: laeky_relu ")
    for script in ("check", "augment", "train", "evaluate", "experiment"):
        start = time.monotonic()
        process = stage(f"stages/{script}.py", *(["model1-baseline"] if script == "train" else []))
        output, _ = process.communicate()
        assert process.returncode == 2, output
        assert output.startswith("error: params.yaml: trick = laeky_relu: unknown;")
        assert output.count("\n") == 1
        assert time.monotonic() - start < 3


@pytest.mark.fault("damage")
def test_damaged_data_and_unknown_variants_are_told(workplace: Path) -> None:
    params = load_params()
    with pytest.raises(UserError, match="did you mean model1-adam"):
        train_variant(params, "model1-adma")
    path = Path("data/dataset/train.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"dvc checkout data/dataset/train\.safetensors"):
        train_variant(params, "model1-adam")
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        train_variant(params, "model1-adam")


@pytest.mark.fault("disk")
def test_a_full_disk_and_a_folder_that_cannot_be_written_are_told_at_the_start(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("resume").write_text("a file in the way")
    process = stage("stages/train.py", "model2-baseline")
    output, _ = process.communicate()
    assert process.returncode == 2
    assert output.startswith("error: cannot write resume/.locks: ") and output.count("\n") == 1
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(UserError, match=r"has 1 MB free; this variant needs \d+ bytes \(\d+ MB\)"):
        train_variant(load_params(), "model2-baseline")


def test_a_gpu_that_is_not_there_is_told(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit("device: auto", "device: cuda")
    with pytest.raises(UserError, match="no CUDA device"):
        train_variant(load_params(), "model1-adam")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bytes_twice(workplace: Path) -> None:
    results = []
    for _ in range(2):
        train_variant(load_params(), "combine-adam_batch_norm")
        results.append(outputs(Path("runs")))
        shutil.rmtree("runs")
    assert results[0] == results[1]


def test_the_interface_names_of_the_variants() -> None:
    keys = set(variants(load_params(ROOT / "params.yaml")))
    assert {"reference-baseline", "model1-leaky_relu", "model2-augment_online"} <= keys
    assert {"improve-best", "improve-best_four_layers"} <= keys
    assert os.sep not in "".join(keys)
