"""The whole matrix with eight seeds through the real pipeline; many readers of MLflow's pages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.dvc_repository import LOOKS, Repository, Started, environment
from helpers.project import ROOT
from helpers.workplace import edit, small_params
from ruamel.yaml import YAML

from cifar_tricks.commands.ui import choose_port
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]
SEEDS = 8


def whole_matrix() -> str:
    """The committed params.yaml at scale full, with tiny nets, eight seeds and few images."""
    content = YAML(typ="safe").load(small_params((ROOT / "params.yaml").read_text()))
    content["scale"], content["device"] = "full", "cpu"
    content["scales"]["full"] |= {
        "train_images": 128,
        "validation_images": 64,
        "test_images": 60,
        "num_epochs": 1,
        "seeds": list(range(SEEDS)),
    }
    return json.dumps(content)  # which is YAML too


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The study, run by `make repro`."""
    repository = Repository(tmp_path_factory.mktemp("a large study"), whole_matrix())
    command = (sys.executable, "-m", "cifar_tricks", "repro", "--jobs", "2")
    process = Started(repository.folder, *command, PYTHONPATH=str(repository.folder / "src"))
    code, output = process.end(seconds=2400)
    assert code == 0, output[-3000:]
    repository.commit()
    return repository


@pytest.mark.fault("load")
def test_the_store_and_dvc_answer_quickly(study: Repository, record_property: Record) -> None:
    folder = study.folder
    keys = len(variants(load_params(folder / "params.yaml")))
    record_property("tried", keys * SEEDS)
    metrics = json.loads((folder / "reports/full/metrics.json").read_text())
    assert len(metrics["variants"]) == keys
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert set(json.loads(study.run("dvc", "status", "--json"))) == LOOKS
        times.append(time.monotonic() - started)
    status_seconds = min(times)  # other tests run beside this one
    command = """\
import sys, time
from mlflow import MlflowClient
client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
started = time.monotonic()
(experiment,) = client.search_experiments(filter_string="name = 'cifar-tricks/full'")
where = "tags.role = 'variant'"
found = client.search_runs([experiment.experiment_id], where, order_by=["metrics.test_accuracy"])
seeds = client.search_runs([experiment.experiment_id], "tags.role = 'seed'", max_results=5000)
print(len(found), len(seeds), time.monotonic() - started)
"""
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    found, seeds, seconds = done.stdout.split()
    assert (int(found), int(seeds)) == (keys, keys * SEEDS), done.stderr
    print(f"dvc status {status_seconds:.1f} s; {found} + {seeds} runs read in {seconds} s")
    measured = (
        f"`dvc status`: {status_seconds:.1f} s; all {keys * (SEEDS + 1)} runs of a net or a seed "
        f"read from MLflow's store: {float(seconds):.1f} s"
    )
    record_property("measured", measured)
    assert status_seconds < 5
    assert float(seconds) < 5


@pytest.mark.fault("load")
def test_memory_does_not_grow_with_the_seeds(workplace: Path, record_property: Record) -> None:
    """The largest memory of a training of two seeds, and of sixteen."""
    record_property("tried", 16)
    edit("num_epochs: 3", "num_epochs: 20")
    peaks = []
    seeds = "[0]"
    for number in (2, 16):
        edit(f"seeds: {seeds}", f"seeds: {list(range(number))}")
        seeds = str(list(range(number)))
        process = subprocess.Popen(
            [sys.executable, "stages/train.py", "model1-dropout"], stdout=subprocess.DEVNULL
        )
        _, code, usage = os.wait4(process.pid, 0)
        assert code == 0
        peaks.append(usage.ru_maxrss / 1024)
    print(f"peak memory in MB with 2 and 16 seeds: {peaks}")
    measured = (
        f"peak memory of a training: {peaks[0]:.0f} MB with 2 seeds, {peaks[1]:.0f} MB with 16"
    )
    record_property("measured", measured)
    assert peaks[1] < peaks[0] * 1.05


@pytest.mark.fault("load")
def test_a_hundred_readers_at_once(study: Repository, record_property: Record) -> None:
    port = choose_port("")
    command = (sys.executable, "-m", "cifar_tricks", "ui", "--port", str(port))
    server = Started(study.folder, *command, PYTHONPATH=str(study.folder / "src"))
    try:
        for _ in range(1200):
            if "Ctrl-C ends it" in server.output:
                break
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port}"

        def memory() -> float:
            family = [psutil.Process(server.pid)]
            family += family[0].children(recursive=True)
            return sum(process.memory_info().rss for process in family) / 1e6

        def ask(number: int) -> float:
            start.wait()
            started = time.monotonic()
            if number % 2:
                request: Any = f"{address}/"
            else:
                body = json.dumps({"experiment_ids": ["1"], "max_results": 100}).encode()
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(
                    f"{address}/api/2.0/mlflow/runs/search", body, headers
                )
            with urllib.request.urlopen(request, timeout=120) as answer:
                assert answer.status == 200 and answer.read()
            return time.monotonic() - started

        peaks, slowest = [], 0.0
        for _ in range(4):
            start = threading.Event()
            with ThreadPoolExecutor(100) as pool:
                answers = [pool.submit(ask, number) for number in range(100)]
                start.set()
                seconds = sorted(answer.result() for answer in answers)
            slowest = max(slowest, seconds[-1])
            peaks.append(memory())
        record_property("tried", 400)
        used = ", ".join(f"{peak:.0f}" for peak in peaks)
        measured = (
            f"a hundred readers of MLflow's pages at once: slowest answer {slowest:.1f} s, "
            f"memory of the server after each round {used} MB"
        )
        print(measured)
        record_property("measured", measured)
        assert peaks[-1] < peaks[0] * 1.2
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.end(kind=signal.SIGTERM)
