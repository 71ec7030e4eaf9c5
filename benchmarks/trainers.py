"""Images per second of the engine beside the usual DataLoader loop: ``make bench``.

The usual loop is what course code and most repositories do: torchvision's CIFAR10, transforms on
each image, a DataLoader with worker processes, eager fp32, ``loss.item()`` in every step. Both
train the same net on the same images with the same batch size, optimizer and threads, in turn
(A B C A B C ...), so that a machine that slows down slows them all.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from cifar_tricks.arrays import Arrays, read_arrays
from cifar_tricks.data import TRAIN_FILE, TrainingData, make_training_data
from cifar_tricks.errors import UserError
from cifar_tricks.machine import choose_device, device_name, prepare
from cifar_tricks.models import build_net
from cifar_tricks.params import load_params
from cifar_tricks.recipe import Recipe
from cifar_tricks.trainer import Trainer
from cifar_tricks.variants import variants

WARM_UP_STEPS = 5


def usual_trainer(
    recipe: Recipe, arrays: Arrays, device: torch.device, workers: int
) -> Callable[[int], float]:
    """The usual loop; returns a function that runs some steps and gives images per second."""
    dataset = CIFAR10.__new__(CIFAR10)  # its constructor wants files; these arrays are the same
    dataset.data = np.ascontiguousarray(arrays["images"].transpose(0, 2, 3, 1))
    dataset.targets = arrays["labels"].tolist()
    dataset.target_transform = None
    dataset.transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))]
    )
    loader = DataLoader(
        dataset, recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers
    )
    net = torch.nn.Sequential(*_plain_layers(recipe)).to(device)
    optimizer = recipe.optimizer(net.parameters())

    def run(steps: int) -> float:
        batches = iter(loader)
        for step in range(WARM_UP_STEPS + steps):
            if step == WARM_UP_STEPS:
                start = time.perf_counter()
            images, labels = next(batches)
            images, labels = images.to(device), labels.to(device)
            loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        return steps * recipe.batch_size / (time.perf_counter() - start)

    return run


def _plain_layers(recipe: Recipe) -> list[torch.nn.Module]:
    """The layers in the order in which they are usually written: activation, then pooling."""
    spec, channels = recipe.net, 3
    layers: list[torch.nn.Module] = []
    for filters in spec.filters:
        layers.append(
            torch.nn.Conv2d(channels, filters, spec.kernel_size, spec.stride, spec.padding)
        )
        layers += [spec.norm_2d(filters)] if spec.norm_2d else []
        layers.append(spec.activation())
        layers += [torch.nn.MaxPool2d(spec.pool)] if spec.pool else []
        channels = filters
    features = channels * spec.feature_map_sizes()[-1] ** 2
    layers.append(torch.nn.Flatten())
    for units in spec.hidden:
        layers.append(torch.nn.Linear(features, units))
        layers += [spec.norm_1d(units)] if spec.norm_1d else []
        layers.append(spec.activation())
        features = units
    return [*layers, torch.nn.Linear(features, 10)]


def engine(recipe: Recipe, data: TrainingData, device: torch.device) -> Callable[[int], float]:
    """The engine's training step; returns a function like :func:`usual_trainer`'s."""
    trainer = Trainer(recipe, data, seed=0, device=device)

    def run(steps: int) -> float:
        for step in range(WARM_UP_STEPS + steps):
            if step == WARM_UP_STEPS:
                _synchronise(device)
                start = time.perf_counter()
            trainer.train_step()
        _synchronise(device)
        return steps * recipe.batch_size / (time.perf_counter() - start)

    return run


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(
    key: str, arrays: Arrays, device: torch.device, *, seconds: float, rounds: int
) -> dict[str, object]:
    """Medians, spreads and ratios pair by pair for one variant."""
    # Copies change the number of steps, not their speed.
    recipe = replace(variants(load_params(), "full")[key].recipe, copies=False)
    data = make_training_data(arrays, None, recipe, seed=0, device=device)
    spec = recipe.net
    same = build_net(spec, seed=0, device=device)
    assert sum(p.numel() for layer in _plain_layers(recipe) for p in layer.parameters()) == sum(
        p.numel() for p in same.parameters()
    )
    trainers = {
        "usual, 0 workers": usual_trainer(recipe, arrays, device, 0),
        "usual, 2 workers": usual_trainer(recipe, arrays, device, 2),
        "engine, fp32": engine(replace(recipe, precision="fp32"), data, device),
        "engine, bf16": engine(replace(recipe, precision="bf16"), data, device),
    }
    steps = {
        name: max(5, int(seconds * run(10) / recipe.batch_size)) for name, run in trainers.items()
    }
    speeds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(rounds):
        for name, run in trainers.items():
            speeds[name].append(run(steps[name]))
    usual = [
        max(pair)
        for pair in zip(speeds["usual, 0 workers"], speeds["usual, 2 workers"], strict=True)
    ]
    return {
        name: {
            "images_per_second": round(statistics.median(values), 1),
            "spread": [round(min(values), 1), round(max(values), 1)],
            "ratio_to_best_usual": round(
                statistics.median(v / u for v, u in zip(values, usual, strict=True)), 3
            ),
        }
        for name, values in speeds.items()
    }


def main() -> None:
    """Prints a table, writes ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--keys",
        nargs="+",
        default=["reference-baseline", "model1-baseline", "model2-baseline", "improve-best"],
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each trainer")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"warning: something else loads this machine (load average {load:.1f})", file=sys.stderr
        )
    device = choose_device("auto")
    prepare(device, threads=args.threads)
    try:
        arrays = read_arrays(TRAIN_FILE, restore="make repro")
    except UserError as error:
        sys.exit(f"error: {error}")
    result = {
        "machine": device_name(device),
        "platform": platform.platform(terse=True),
        "threads": args.threads,
        "torch": torch.__version__,
        "load_average_at_start": round(load, 2),
        "variants": {},
    }
    print(f"{'':22}{'trainer':20}{'images/s':>10}{'min':>9}{'max':>9}{'ratio':>8}")
    for key in args.keys:
        rows = measure(key, arrays, device, seconds=args.seconds, rounds=args.rounds)
        result["variants"][key] = rows
        for name, row in rows.items():
            low, high = row["spread"]
            print(
                f"{key:22}{name:20}{row['images_per_second']:>10}{low:>9}{high:>9}{row['ratio_to_best_usual']:>8}",
                flush=True,
            )
    Path("benchmarks/results.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
