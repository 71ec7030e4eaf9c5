"""What the study costs, and how it grows: ``python benchmarks/cost.py``, after ``make repro``.

Scale quick is measured: the pipeline notes how long each training took. Scale full is extrapolated
from the same nets' images per second, all ten epochs long, so early stopping only makes it
shorter; bf16 by the ratio that ``make bench`` measured for the net in question. How a step grows
with filters and with training images is measured here, on one thread.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers import RESULTS as BENCH
from trainers import Way, _rounded
from worker import Job

from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import Variant, variants
from cifar_tricks.training.backbones import used_backbone
from cifar_tricks.training.recipe import BackboneSpec

COST = Path("benchmarks/cost.json")
FILTERS = (16, 32, 64, 128)
IMAGES = (2000, 10_000, 45_000)


def quick_log(key: str) -> dict[str, float] | None:
    """What the pipeline noted of a training at scale quick."""
    path = Path("logs/quick") / key / "seed=0.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def images_of(variant: Variant) -> int:
    """Training images of all epochs."""
    recipe = variant.recipe
    return recipe.num_epochs * recipe.steps_per_epoch * recipe.batch_size


def bf16_gain(variant: Variant, nets: dict[str, Any]) -> float:
    """How many times faster bf16 is, for the measured net that is most like this one."""
    like = "improve-best"
    if variant.group == "transfer":
        like = variant.key
    elif variant.model == "reference":
        like = "reference-baseline"
    elif variant.model in ("model1", "model2") and variant.group != "improve":
        like = f"{variant.model}-baseline"
    rows = nets[like]
    suffix = ", two at once" if "engine, fp32, two at once" in rows else ""
    fast, slow = (rows[f"engine, {p}{suffix}"]["images_per_second"] for p in ("bf16", "fp32"))
    return float(fast / slow)


def costs() -> list[dict[str, Any]]:
    """Seconds of one seed of every variant, on one core of two busy ones."""
    bench = json.loads(BENCH.read_text())["nets"]
    params, backbone = load_params(), used_backbone()
    full = variants(params, "full", backbone=backbone)
    rows = []
    for key, variant in variants(params, "quick", backbone=backbone).items():
        log = quick_log(key)
        row: dict[str, Any] = {"key": key, "quick_measured": None}
        if log is not None:
            seconds = images_of(full[key]) / log["images_per_second"]
            # Validations and the start-up, which quick has too, in proportion to the images.
            rest = log["seconds"] - images_of(variant) / log["images_per_second"]
            ratio = full[key].recipe.validation_images / variant.recipe.validation_images
            if isinstance(variant.recipe.net, BackboneSpec):
                ratio = full[key].recipe.train_images / variant.recipe.train_images
            seconds += rest * ratio
            row |= {
                "quick_measured": round(log["seconds"], 1),
                "full_fp32_extrapolated": round(seconds),
                "full_bf16_extrapolated": round(seconds / bf16_gain(variant, bench)),
            }
        rows.append(row)
    return rows


def growth(rounds: int) -> list[dict[str, Any]]:
    """Images per second of model 1 on one thread: by filters, by training images, by seeds at once
    in processes of their own."""
    base = Job(way="engine", key="model1-baseline")
    rows = []
    for precision in ("fp32", "bf16"):
        jobs = {f"{count} filters": [replace(base, filters=count)] for count in FILTERS}
        jobs |= {f"{count} images": [replace(base, train_images=count)] for count in IMAGES}
        jobs |= {"1 job": [base], "2 jobs": [base, base]}
        made = {
            name: Way([replace(job, precision=precision) for job in parts], 64)
            for name, parts in jobs.items()
        }
        for way in made.values():
            way.calibrate(1.0)
        for _ in range(rounds):
            for way in made.values():
                way.measure()
        for name, way in made.items():
            row = {
                "precision": precision,
                "what": name,
                "images_per_second": _rounded(statistics.median(way.speeds)),
                "others_load": round(way.others, 2),
            }
            print(row, flush=True)
            rows.append(row)
            for worker in way.workers:
                worker.close()
    return rows


def main() -> None:
    """Prints tables, writes ``benchmarks/cost.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    bench = json.loads(BENCH.read_text())
    rows = costs()
    for row in rows:
        print(row)
    grown = growth(args.rounds)
    made = [row for row in rows if row["quick_measured"] is not None]
    totals = {
        name: round(sum(row[name] for row in made))
        for name in ("quick_measured", "full_fp32_extrapolated", "full_bf16_extrapolated")
    }
    print(f"{len(made)} of {len(rows)} variants, seconds of one core: {totals}")
    result = {
        "machine": bench["machine"],
        "torch": bench["torch"],
        "variants": rows,
        "total_seconds_of_one_seed": totals,
        "growth_of_model1": grown,
    }
    COST.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
