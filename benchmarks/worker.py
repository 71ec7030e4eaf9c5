"""One trainer in a process of its own, told over its standard input how much to do.

    python benchmarks/worker.py '{"way": "engine", "key": "model1-baseline", "precision": "bf16"}'

It answers each line with one line of JSON: first what its start-up cost, then, for ``steps 20``,
the seconds that these took, and for ``validate``, images and seconds of a validation.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

VALIDATION_IMAGES = 1000
TRANSFER_IMAGES = 320


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker measures.

    Args:
        way: usual, limit, compiled (the limit with torch.compile) or engine.
        key: of the variant.
        precision: of limit and engine.
        augment: whether training images are cropped and flipped at random.
        workers: of the usual trainer's DataLoader.
        threads: CPU threads.
        seeds: trainings of the engine side by side.
        filters: of every convolution; None for those of the variant.
        train_images: size of the training split; None for that of scale full.
    """

    way: str
    key: str
    precision: str = "fp32"
    augment: bool = False
    workers: int = 0
    threads: int = 1
    seeds: int = 1
    filters: int | None = None
    train_images: int | None = None


def build(job: Job) -> tuple[Callable[[], None], Callable[[], int], dict[str, Any]]:
    """The step, the validation (returns how many images it took), and facts about the way: among
    them ``wait``, which returns when the device has done what was queued."""
    # As a stage imports them: what the usual trainer needs beyond is its own affair.
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.variants import variants

    params = load_params()
    from cifar_tricks.training.backbones import BACKBONES, used_backbone
    from cifar_tricks.training.call import Call
    from cifar_tricks.training.device import choose_device, prepare
    from cifar_tricks.training.recipe import BackboneSpec, Recipe

    backbone = used_backbone()
    recipe = variants(params, "full", backbone=backbone)[job.key].recipe
    recipe = replace(recipe, copies=False, precision=job.precision)
    transfer = isinstance(recipe.net, BackboneSpec)
    if job.augment:
        trick = {"padding": 4, "flip_probability": 0.5}
        call = Call("cifar_tricks.augmentation.augment_batch", trick)
        recipe = replace(recipe, batch_transforms=(call,))
    if job.filters is not None:
        assert isinstance(recipe, Recipe)
        filters = (job.filters,) * len(recipe.net.filters)
        recipe = replace(recipe, net=replace(recipe.net, filters=filters))
    if job.train_images is not None:
        recipe = replace(recipe, train_images=job.train_images)
    device = choose_device("auto")
    import torch

    if job.way == "usual":
        torch.set_num_threads(job.threads)
    else:
        prepare(device, threads=job.threads, precision=job.precision)
    from cifar_tricks.base.arrays import read_arrays
    from cifar_tricks.training.recipe import TRAIN_FILE

    arrays = read_arrays(TRAIN_FILE, remedy="bring it back with: make repro")

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    if job.way == "usual":
        from usual import UsualTrainer

        usual = UsualTrainer(recipe, arrays, device, workers=job.workers, augment=job.augment)
        batches = VALIDATION_IMAGES // recipe.batch_size
        if transfer:
            batches = 4
        return usual.step, lambda: usual.validate(batches), {"wait": wait}
    if job.way != "engine" and not transfer:
        from limit import fastest_step

        step, name = fastest_step(recipe, device, compiled=job.way == "compiled")
        return step, lambda: 0, {"switches": name, "wait": wait}
    from cifar_tricks.training.images import make_training_data
    from cifar_tricks.training.trainer import Trainer

    weights, facts = None, {"wait": wait}
    if transfer:
        recipe = replace(recipe, train_images=TRANSFER_IMAGES, validation_images=64)
        # Random weights: they cost the same.
        made = BACKBONES[recipe.net.backbone].net().state_dict()
        weights = {name: value.numpy() for name, value in made.items()}
    else:
        recipe = replace(recipe, validation_images=VALIDATION_IMAGES)
    runs = []
    for seed in range(job.seeds):
        data = make_training_data(arrays, None, recipe, seed=seed, device=device, backbone=weights)
        runs.append(Trainer(recipe, data, seed=seed, device=device))
    run = runs[0]
    start = time.perf_counter()
    pieces = list(run.data.prepare())
    if pieces:
        facts["trunk_images_per_second"] = pieces[-1][1] / (time.perf_counter() - start)
    if job.way == "limit":
        from limit import limit_of_tail

        rows = run.data.train.rows[: recipe.batch_size]
        step = limit_of_tail(recipe, run.trained, run.data.train.batch(rows)[0])
        return step, lambda: 0, {"wait": wait}

    def step() -> None:
        for one in runs:
            with one.turn():
                one.train_step()

    def validate() -> int:
        with run.turn():
            run.start_validation()
            run.measured.tolist()
        return len(run.data.validation)

    return step, validate, facts


def main() -> None:
    """Answers until the standard input ends."""
    job = Job(**json.loads(sys.argv[1]))
    step, validate, facts = build(job)
    wait = facts.pop("wait")
    step()
    wait()
    used = resource.getrusage(resource.RUSAGE_SELF)
    _tell(
        {
            "startup_cpu_seconds": used.ru_utime + used.ru_stime,
            "startup_seconds": time.time() - float(os.environ.get("STARTED", "nan")),
            **facts,
        }
    )
    for line in sys.stdin:
        command, _, number = line.strip().partition(" ")
        start = time.perf_counter()
        if command == "validate":
            images = validate()
            wait()
            _tell({"images": images, "seconds": time.perf_counter() - start})
            continue
        for _ in range(int(number)):
            step()
        wait()
        _tell({"seconds": time.perf_counter() - start})


def _tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
