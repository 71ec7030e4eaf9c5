"""How long steps take on a device: their kernels, their seeds side by side, the usual trainer."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.device import prepare
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.loop import Task, fit
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.streams import open_stream
from cifar_tricks.training.trainer import STEPS_BEFORE_RECORDING, Trainer

ROOT = Path(__file__).resolve().parent.parent
VALIDATION_SHARE = 10
PROFILED = (
    ("model1-baseline", "bf16"),
    ("model2-baseline", "bf16"),
    ("model1-batch_norm", "bf16"),
    ("model1-augment_online", "bf16"),
    ("improve-best", "bf16"),
    ("improve-further", "bf16"),
    ("model1-baseline", "fp32"),
)
SIDE_BY_SIDE = ("model1-baseline", "model2-baseline", "improve-best")
NUMBERS = (1, 2, 4, 8, 10, 16)
BESIDE_USUAL = ("model1-baseline", "model2-baseline")
# What a CPU does in seconds.
ON_CPU, SMALLEST = (("model2-baseline", "bf16"),), ("model2-baseline",)


def random_images(count: int) -> Arrays:
    """They cost what real ones do; zeros might not."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = generator.integers(0, 10, count, dtype=np.int64)
    return Arrays(arrays={"images": images, "labels": labels}, sha256="random")


def wait(device: torch.device) -> None:
    """Returns when the device has done what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def sized(key: str, precision: str, images: int, **changes: Any) -> Recipe:
    """The recipe of a variant of the study, for so many images, without copies."""
    recipe = variants(load_params(ROOT / "params.yaml"), "full")[key].recipe
    assert isinstance(recipe, Recipe)
    validation = images // VALIDATION_SHARE
    splits = {"train_images": images - validation, "validation_images": validation}
    return replace(recipe, precision=precision, copies=False, **splits, **changes)


def trainers(
    recipe: Recipe, arrays: Arrays, seeds: int, device: torch.device, *, graphs: bool = True
) -> list[Trainer]:
    """Trainings that have done the steps before their first recorded one, and this one."""
    prepare(device, threads=1, precision=recipe.precision)
    runs = [
        Trainer(
            recipe,
            make_training_data(arrays, None, recipe, seed=seed, device=device),
            seed=seed,
            device=device,
            stream=open_stream(device, graphs=graphs),
        )
        for seed in range(seeds)
    ]
    steps(runs, STEPS_BEFORE_RECORDING + 1)
    wait(device)
    return runs


def steps(runs: list[Trainer], count: int) -> None:
    """So many steps of each, side by side."""
    for _ in range(count):
        for run in runs:
            with run.turn():
                run.train_step()


def microseconds(runs: list[Trainer], device: torch.device) -> dict[str, float]:
    """Of a step of each: until the device is done, and until the host is; medians of 5."""
    count = 300 if device.type == "cuda" else 2
    whole, host = [], []
    for _ in range(5):
        start = time.perf_counter()
        steps(runs, count)
        host.append((time.perf_counter() - start) / count)
        wait(device)
        whole.append((time.perf_counter() - start) / count)
    return {
        "us": round(1e6 * statistics.median(whole), 1),
        "host_us": round(1e6 * statistics.median(host), 1),
    }


def profile(report: Any, device: torch.device, images: int) -> None:
    """Kernels of a step, the longest ones, and how long the step takes replayed."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    arrays, longest = random_images(images), 0.0
    kinds = [ProfilerActivity.CUDA] if device.type == "cuda" else [ProfilerActivity.CPU]
    kind = getattr(torch.autograd.DeviceType, device.type.upper())
    plan = PROFILED if device.type == "cuda" else ON_CPU
    for place, (key, precision) in enumerate(plan):
        if not report.has_time(1.5 * longest):
            return report.skip([" ".join(pair) for pair in plan[place:]])
        start = time.monotonic()
        recipe = sized(key, precision, images)
        runs = trainers(recipe, arrays, 1, device, graphs=False)
        with profiler(activities=kinds) as recorded:
            steps(runs, 3)
            wait(device)
        times: dict[str, float] = defaultdict(float)
        counts: Counter[str] = Counter()
        for event in recorded.events():
            if event.device_type == kind:
                spent = event.device_time if device.type == "cuda" else event.self_cpu_time_total
                times[event.name] += spent / 3
                counts[event.name] += 1
        table = sorted(times, key=times.__getitem__, reverse=True)[:16]
        figures = {
            "kernels": round(counts.total() / 3, 1),
            "kernel_us": round(sum(times.values()), 1),
            "longest": [[round(times[n], 1), round(counts[n] / 3, 1), n[:90]] for n in table],
        }
        replayed = microseconds(trainers(recipe, arrays, 1, device), device)
        report.add(f"{key} {precision}", replayed | figures)
        longest = max(longest, time.monotonic() - start)
    return None


def seeds(report: Any, device: torch.device, images: int) -> None:
    """Images per second of several seeds side by side, and how long their validation takes."""
    arrays, longest = random_images(images), 0.0
    keys, numbers = (SIDE_BY_SIDE, NUMBERS) if device.type == "cuda" else (SMALLEST, (1, 2))
    plan = [(key, number) for key in keys for number in numbers]
    for place, (key, number) in enumerate(plan):
        if not report.has_time(1.5 * longest):
            return report.skip([f"{key}, {count} seeds" for key, count in plan[place:]])
        start = time.monotonic()
        recipe = sized(key, "bf16", images)
        runs = trainers(recipe, arrays, number, device)
        figures = microseconds(runs, device)
        speed = round(1e6 * number * recipe.batch_size / figures["us"])
        began = time.perf_counter()
        for run in runs:
            with run.turn():
                run.start_validation()
        wait(device)
        validation = round(1e3 * (time.perf_counter() - began), 1)
        figures |= {"images_per_second": speed, "validation_ms": validation}
        report.add(f"{key}, {number} seeds", figures)
        longest = max(longest, time.monotonic() - start)
    return None


def bench(report: Any, device: torch.device, images: int) -> None:
    """The usual trainer for three seconds each, and whole trainings without early stopping."""
    arrays, longest = random_images(images), 3.0
    gpu = device.type == "cuda"
    keys = BESIDE_USUAL if gpu else SMALLEST
    for key in keys:
        for workers in (0, 2, 8) if gpu else (0,):
            name = f"{key}, usual, {workers} workers"
            if not report.has_time(2 * longest):
                return report.skip([name])
            start = time.monotonic()
            report.add(name, round(_usual(sized(key, "fp32", images), arrays, device, workers)))
            longest = max(longest, time.monotonic() - start)
    longest = 0.0
    for key in keys:
        for number in (1, 10) if gpu else (1, 2):
            name = f"{key}, bf16, {number} seeds, whole training"
            if not report.has_time(2 * longest * number):
                return report.skip([name])
            start = time.monotonic()
            recipe = sized(key, "bf16", images, early_stop_count=1000, num_epochs=10 if gpu else 1)
            report.add(name, _whole(recipe, arrays, number, device))
            longest = (time.monotonic() - start) / number
    return None


def _usual(recipe: Recipe, arrays: Arrays, device: torch.device, workers: int) -> float:
    from usual import UsualTrainer

    trainer = UsualTrainer(recipe, arrays, device, workers=workers)
    for _ in range(3):
        trainer.step()
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < (3 if device.type == "cuda" else 0.2):
        trainer.step()
        count += 1
    return recipe.batch_size * count / spent


def _whole(recipe: Recipe, arrays: Arrays, seeds: int, device: torch.device) -> dict[str, float]:
    prepare(device, threads=1, precision=recipe.precision)
    start = time.perf_counter()
    data = [
        make_training_data(arrays, None, recipe, seed=seed, device=device) for seed in range(seeds)
    ]
    wait(device)
    ready = time.perf_counter()
    tasks = [Task(seed=seed, data=one) for seed, one in enumerate(data)]
    fitted = [result for _, result in fit(recipe, tasks, device=device)]
    return {
        "data_s": round(ready - start, 3),
        "fit_s": round(time.perf_counter() - ready, 3),
        "steps": fitted[0].progress.step,
        "images_per_second": round(sum(one.images_per_second for one in fitted)),
    }
