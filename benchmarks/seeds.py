"""Several seeds of one variant on one device: ``python benchmarks/seeds.py``.

Images per second of all seeds together, the ways taking turns:

- one after another: what a CPU does in the study;
- side by side: the engine's own way on a GPU, a stream and a recorded step for each seed;
- stacked: all nets as one, their parameters stacked and the step mapped over them by
  torch.func.vmap (a convolution with stacked weights becomes a grouped one). Plain SGD only: every
  optimizer and every trick that draws random numbers would have to be written anew for it.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from gpu_measure import wait
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.device import choose_device, device_name, prepare
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.predicting import autocast
from cifar_tricks.training.recipe import TRAIN_FILE, Recipe
from cifar_tricks.training.trainer import Trainer

RESULTS = Path("benchmarks/seeds.json")


def in_turn(runs: list[Trainer]) -> Callable[[int], None]:
    """All steps of one seed, then all steps of the next."""

    def steps(count: int) -> None:
        for run in runs:
            for _ in range(count):
                with run.turn():
                    run.train_step()
            wait(run.device)  # or a GPU would begin the next one beside it

    return steps


def side_by_side(runs: list[Trainer]) -> Callable[[int], None]:
    """A step of each seed, then the next step of each."""

    def steps(count: int) -> None:
        for _ in range(count):
            for run in runs:
                with run.turn():
                    run.train_step()

    return steps


def stacked(recipe: Recipe, runs: list[Trainer], device: torch.device) -> Callable[[int], None]:
    """One step of all seeds as one computation."""
    nets = [build_net(recipe.net, seed=run.seed, device=device) for run in runs]
    parameters, buffers = stack_module_state(nets)
    rate = recipe.optimizer.arguments["lr"]

    def loss(parameters: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        with autocast(device, recipe.precision):
            logits = functional_call(nets[0], (parameters, buffers_of_one), (images,))
        return F.cross_entropy(logits.float(), labels)

    buffers_of_one = {name: value[0] for name, value in buffers.items()}
    gradients = vmap(grad(loss))
    place = 0

    def steps(count: int) -> None:
        nonlocal place
        for _ in range(count):
            images, labels = [], []
            for run in runs:
                rows = run.order.rows[place : place + recipe.batch_size]
                some, classes = run.data.train.batch(rows)
                images.append(run.normaliser(some))
                labels.append(classes)
            found = gradients(parameters, torch.stack(images), torch.stack(labels))
            with torch.no_grad():
                for name, value in parameters.items():
                    value.sub_(found[name], alpha=rate)
            place = (place + recipe.batch_size) % (len(runs[0].order.rows) - recipe.batch_size)

    return steps


def main() -> None:
    """Prints a table, writes ``benchmarks/seeds.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", nargs="+", default=["model1-baseline", "model2-baseline"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of each seed in one measurement")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    device = choose_device("auto")
    prepare(device, threads=args.threads)
    # Ten steps of a GPU are three milliseconds.
    count = args.steps or (300 if device.type == "cuda" else 10)
    arrays = read_arrays(TRAIN_FILE, remedy="bring it back with: make repro")
    rows = []
    for key in args.keys:
        for precision in ("fp32", "bf16"):
            recipe = replace(variants(load_params(), "full")[key].recipe, precision=precision)
            assert isinstance(recipe, Recipe)
            ways: dict[str, Callable[[int], None]] = {}
            for name, make in (("one after another", in_turn), ("side by side", side_by_side)):
                ways[name] = make(_runs(recipe, arrays, args.seeds, device))
            runs = _runs(recipe, arrays, args.seeds, device)
            for run in runs:  # draws the order of the images
                with run.turn():
                    run.train_step()
            ways["stacked"] = stacked(recipe, runs, device)
            speeds: dict[str, list[float]] = {name: [] for name in ways}
            for steps in ways.values():
                steps(5)
            for _ in range(args.rounds):
                for name, steps in ways.items():
                    start = time.perf_counter()
                    steps(count)
                    wait(device)
                    images = count * args.seeds * recipe.batch_size
                    speeds[name].append(images / (time.perf_counter() - start))
            for name, values in speeds.items():
                row = {
                    "key": key,
                    "precision": precision,
                    "way": name,
                    "images_per_second": round(statistics.median(values), 1),
                    "spread": [round(min(values), 1), round(max(values), 1)],
                }
                rows.append(row)
                print(f"{key:18}{precision:6}{name:20}{row['images_per_second']:>10}", flush=True)
    result = {
        "machine": device_name(device),
        "platform": platform.platform(terse=True),
        "torch": torch.__version__,
        "threads": args.threads,
        "seeds": args.seeds,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def _runs(recipe: Recipe, arrays: object, seeds: int, device: torch.device) -> list[Trainer]:
    return [
        Trainer(
            recipe,
            make_training_data(arrays, None, recipe, seed=seed, device=device),  # type: ignore[arg-type]
            seed=seed,
            device=device,
        )
        for seed in range(seeds)
    ]


if __name__ == "__main__":
    main()
