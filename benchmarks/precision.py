"""Does bf16 cost accuracy? Trains the same seeds in both precisions: ``benchmarks/precision.py``.

Everything but the precision is the same within a pair: net, seed, split, order of the images,
initial weights. Each finished training is written down at once, and a second call goes on with what
is missing, so the command may be interrupted, and started side by side for different variants.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import FileLock

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.files import write_atomically
from cifar_tricks.evidence.statistics import compare
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.ahead import code_hash
from cifar_tricks.training.device import choose_device, device_name, prepare
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.loop import Task, fit
from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE

Row = dict[str, Any]
RESULTS = Path("benchmarks/precision.json")
PRECISIONS = ("fp32", "bf16")


def read_results() -> list[Row]:
    """All trainings on record."""
    return list(json.loads(RESULTS.read_text())) if RESULTS.exists() else []


def train(key: str, seed: int, precision: str, train_images: int) -> None:
    """Trains one seed unless it is on record, and adds it there."""
    recipe = variants(load_params(), "full_fp32")[key].recipe
    recipe = replace(recipe, precision=precision, train_images=train_images)
    device = choose_device("auto")
    prepare(device, threads=recipe.threads, precision=precision)
    row: Row = {
        "key": key,
        "seed": seed,
        "precision": precision,
        "train_images": train_images,
        "device": device_name(device),
    }
    if any(row.items() <= known.items() for known in read_results()):
        return
    row["code"] = code_hash(recipe)
    copies = read_arrays(COPIES_FILE) if recipe.copies else None
    data = make_training_data(read_arrays(TRAIN_FILE), copies, recipe, seed=seed, device=device)
    ((_, fitted),) = fit(recipe, [Task(seed=seed, data=data)], device=device)
    loss, accuracy = fitted.validation
    row |= {
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "train_accuracy": fitted.train[1],
        "best_step": fitted.progress.best_step,
        "steps": fitted.progress.step,
        "images_per_second": round(fitted.images_per_second, 1),
    }
    print(row, flush=True)
    with FileLock(f"{RESULTS}.lock"):
        rows = [*read_results(), row]
        lines = ",\n".join(json.dumps(one) for one in rows)
        write_atomically(RESULTS, f"[\n{lines}\n]\n".encode())


def summary() -> None:
    """Prints the paired differences in validation accuracy, bf16 minus fp32."""
    pairs: dict[tuple[str, int], dict[int, dict[str, Row]]] = {}
    for row in read_results():
        pairs.setdefault((row["key"], row["train_images"]), {}).setdefault(row["seed"], {})[
            row["precision"]
        ] = row
    for (key, images), seeds in sorted(pairs.items()):
        both = [found for found in seeds.values() if len(found) == len(PRECISIONS)]
        full, half = (
            [found[precision]["validation_accuracy"] for found in both] for precision in PRECISIONS
        )
        differences = [b - a for a, b in zip(full, half, strict=True)]
        if not both:
            continue
        line = f"{key}, {images} training images, n = {len(both)}: fp32 {fmean(full):.4f}, "
        line += f"bf16 {fmean(half):.4f}, difference {fmean(differences):+.4f}"
        if interval := compare(differences).summary.interval:
            line += f", 95% interval {interval.low:+.4f} to {interval.high:+.4f}"
        print(line)


def main() -> None:
    """Trains what is missing, then prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-images", type=int, default=45000)
    args = parser.parse_args()
    for seed in range(args.seeds):
        for precision in PRECISIONS:
            for key in args.keys:
                train(key, seed, precision, args.train_images)
    summary()


if __name__ == "__main__":
    main()
