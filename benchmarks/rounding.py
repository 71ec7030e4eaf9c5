"""How far apart are the results of one training with one or two threads, in fp32 or bf16?

    python benchmarks/rounding.py [--output benchmarks/rounding.json]

On one machine and with one setting the bytes are the same each time (``make reproduce-check``).
Here the setting changes, as it does between machines: the order of sums, and the precision. Each
net is trained at scale quick with seed 0, in a process of its own. The others are compared with the
first setting, which is run twice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.device import device_name, prepare
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.loop import Task, fit
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE

KEYS = ("model1-baseline", "model2-baseline", "model2-batch_norm", "improve-best")
SETTINGS = ((1, "fp32"), (1, "fp32"), (2, "fp32"), (1, "bf16"), (2, "bf16"))
CPU = torch.device("cpu")


def train(key: str, threads: int, precision: str, target: Path) -> None:
    """Trains one net and writes its weights and validation losses."""
    variant = variants(load_params().model_copy(update={"scale": "quick"}))[key]
    recipe = replace(variant.recipe, threads=threads, precision=precision)
    prepare(CPU, threads=threads, precision=precision)
    copies = read_arrays(COPIES_FILE) if recipe.copies else None
    data = make_training_data(read_arrays(TRAIN_FILE), copies, recipe, seed=0, device=CPU)
    ((_, fitted),) = fit(recipe, [Task(seed=0, data=data)], device=CPU)
    losses = fitted.progress.validation_losses
    torch.save({"weights": fitted.weights, "losses": losses, "result": fitted.validation}, target)


def compare(key: str, folder: Path) -> list[dict[str, object]]:
    """A row per setting: how far it is from the first."""
    results = []
    for number, (threads, precision) in enumerate(SETTINGS):
        target = folder / f"{key}-{number}.pt"
        command = [sys.executable, __file__, "--train", key, str(threads), precision, str(target)]
        subprocess.run(command, check=True)
        results.append(torch.load(target, weights_only=True))
    first = results[0]
    rows: list[dict[str, object]] = []
    for (threads, precision), result in zip(SETTINGS, results, strict=True):
        distance = norm = 0.0
        for name, weight in first["weights"].items():
            if weight.is_floating_point():
                distance += (weight - result["weights"][name]).double().square().sum().item()
                norm += weight.double().square().sum().item()
        pairs = zip(first["losses"], result["losses"], strict=True)
        rows.append(
            {
                "threads": threads,
                "precision": precision,
                "relative_distance_of_weights": (distance / norm) ** 0.5,
                "largest_difference_of_validation_losses": max(abs(a - b) for a, b in pairs),
                "validation_accuracy": result["result"][1],
            }
        )
    return rows


def main() -> None:
    """Writes a JSON file with a list of rows per net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/rounding.json"))
    parser.add_argument("--train", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        key, threads, precision, target = arguments.train
        train(key, int(threads), precision, Path(target))
        return
    import tempfile

    content: dict[str, object] = {"device": device_name(CPU), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        for key in KEYS:
            content[key] = compare(key, Path(folder))
            print(key, json.dumps(content[key], indent=1), flush=True)
    write_atomically(arguments.output, to_json(content))


if __name__ == "__main__":
    main()
