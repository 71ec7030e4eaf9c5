"""Time and memory of the ways to train a net from ImageNet: ``make bench-transfer``.

- usual: torchvision's CIFAR10, every image resized and normalised by itself, a DataLoader, the
  whole net in every step with the frozen layers' gradients off, eager fp32, ``loss.item()``;
- recomputed: the engine, the frozen trunk run anew for every batch;
- cached: the engine as it is, the trunk's features computed once and kept.

Each measurement is a process of its own, so that its peak memory is its own, and they take turns
(A B C A B C ...), so that a machine that slows down slows them all.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gpu_measure import wait
from usual import UsualTrainer

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.backbones import BACKBONES
from cifar_tricks.training.call import Call
from cifar_tricks.training.device import choose_device, device_name, prepare
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.recipe import TRAIN_FILE, TransferRecipe
from cifar_tricks.training.trainer import Trainer

WAYS = {
    "usual, 0 workers": ("usual", "fp32", 0),
    "usual, 2 workers": ("usual", "fp32", 2),
    "recomputed, fp32": ("recomputed", "fp32", 0),
    "recomputed, bf16": ("recomputed", "bf16", 0),
    "cached, fp32": ("cached", "fp32", 0),
    "cached, bf16": ("cached", "bf16", 0),
}
WARM_UP_STEPS = 4  # on a GPU the last of them is recorded
# Images of a training at full scale: what an epoch passes over, and what the trunk sees once.
EPOCH_IMAGES, ALL_IMAGES, EPOCHS = 45_000, 50_000, 10


def usual(recipe: TransferRecipe, arrays: Arrays, workers: int, steps: int) -> dict[str, float]:
    """Images per second of the usual loop."""
    trainer = UsualTrainer(recipe, arrays, choose_device("auto"), workers=workers)
    for step in range(WARM_UP_STEPS + steps):
        if step == WARM_UP_STEPS:
            start = time.perf_counter()
        trainer.step()
    return {"images_per_second": steps * recipe.batch_size / (time.perf_counter() - start)}


def engine(recipe: TransferRecipe, arrays: Arrays, steps: int, cache_gb: float) -> dict[str, float]:
    """Images per second of the engine's steps, and of the trunk where it runs once."""
    call = Call("cifar_tricks.features.frozen_features", {"cache_gb": cache_gb})
    size = (WARM_UP_STEPS + steps) * recipe.batch_size
    recipe = replace(recipe, features=call, train_images=size, validation_images=1)
    # Random weights: they cost the same.
    weights = {n: v.numpy() for n, v in BACKBONES[recipe.net.backbone].net().state_dict().items()}
    device = choose_device("auto")
    data = make_training_data(arrays, None, recipe, seed=0, device=device, backbone=weights)
    trainer = Trainer(recipe, data, seed=0, device=device)
    start = time.perf_counter()
    pieces = list(trainer.data.prepare())
    wait(device)
    result = {}
    if pieces:
        result["trunk_images_per_second"] = pieces[-1][0] / (time.perf_counter() - start)
        result["kilobytes_per_image"] = trainer.data.train.kept[0].nbytes / 1000
    for step in range(WARM_UP_STEPS + steps):
        if step == WARM_UP_STEPS:
            wait(device)
            start = time.perf_counter()
        with trainer.turn():
            trainer.train_step()
    wait(device)
    speed = steps * recipe.batch_size / (time.perf_counter() - start)
    return {"images_per_second": speed, **result}


def measure_here(args: argparse.Namespace) -> None:
    """One measurement in this process; prints JSON."""
    prepare(choose_device("auto"), threads=args.threads)
    way, precision, workers = WAYS[args.way]
    variant = variants(load_params(), "full", backbone=args.backbone)[f"transfer-{args.backbone}"]
    recipe = replace(variant.recipe, precision=precision)
    arrays = read_arrays(TRAIN_FILE, remedy="bring it back with: make repro")
    if way == "usual":
        result = usual(recipe, arrays, workers, args.steps)
    else:
        result = engine(recipe, arrays, args.steps, 100.0 if way == "cached" else 0.0)
    result["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def epoch_seconds(row: dict[str, float]) -> float:
    """Training steps of an epoch at full scale, with its share of the trunk's one pass."""
    once = ALL_IMAGES / row["trunk_images_per_second"] if "trunk_images_per_second" in row else 0.0
    return EPOCH_IMAGES / row["images_per_second"] + once / EPOCHS


def compare(args: argparse.Namespace, backbone: str) -> dict[str, Any]:
    """All ways in turn; medians, and the ratio of the epochs' times pair by pair."""
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--backbone", backbone]
            command += ["--steps", str(args.steps), "--threads", str(args.threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows[way].append(json.loads(done.stdout))
    usual_times = [
        min(epoch_seconds(row) for row in pair)
        for pair in zip(rows["usual, 0 workers"], rows["usual, 2 workers"], strict=True)
    ]
    result = {}
    for way, values in rows.items():
        times = [epoch_seconds(row) for row in values]
        result[way] = {
            name: round(statistics.median(row[name] for row in values), 1) for name in values[0]
        } | {
            "spread": [round(edge(row["images_per_second"] for row in values), 1)
                       for edge in (min, max)],
            "epoch_seconds": round(statistics.median(times), 1),
            "ratio_to_best_usual": round(
                statistics.median(u / t for u, t in zip(usual_times, times, strict=True)), 2
            ),
        }  # fmt: skip
    return result


def main() -> None:
    """Prints a table, writes ``benchmarks/transfer.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", choices=BACKBONES)
    parser.add_argument("--way", choices=WAYS, help="measure one, in this process")
    parser.add_argument("--steps", type=int, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    device = choose_device("auto")
    args.steps = args.steps or (300 if device.type == "cuda" else 12)
    if args.way:
        return measure_here(args)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: something else loads this machine (load {load:.1f})", file=sys.stderr)
    result: dict[str, Any] = {
        "machine": device_name(device),
        "platform": platform.platform(terse=True),
        "threads": args.threads,
        "torch": torch.__version__,
        "load_average_at_start": round(load, 2),
        "backbones": {},
    }
    print(f"{'':20}{'':20}{'images/s':>10}{'trunk/s':>9}{'s/epoch':>9}{'ratio':>7}{'MB':>7}")
    for backbone in [args.backbone] if args.backbone else BACKBONES:
        result["backbones"][backbone] = rows = compare(args, backbone)
        for way, row in rows.items():
            trunk = row.get("trunk_images_per_second", "")
            print(
                f"{backbone:20}{way:20}{row['images_per_second']:>10}{trunk:>9}"
                f"{row['epoch_seconds']:>9}{row['ratio_to_best_usual']:>7}"
                f"{row['peak_megabytes']:>7.0f}",
                flush=True,
            )
    Path("benchmarks/transfer.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
