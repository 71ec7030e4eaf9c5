"""A small study with made-up numbers, written by the package's own writers."""

import contextlib
import tempfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.evaluation.score import Score, calibrate, to_answers
from cifar_tricks.evaluation.score_files import metrics, write_calibration, write_predictions
from cifar_tricks.evidence.predictions import read_predictions
from cifar_tricks.evidence.study_results import StudyResults, read_study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants
from cifar_tricks.runs.folders import run_folder, seed_folder, write_history, write_run
from cifar_tricks.runs.records import Record, write_record
from cifar_tricks.runs.run import Origin, Run, SeedResult
from cifar_tricks.training.call import as_json

NUM_TEST_IMAGES = 200
ORIGIN = Origin(device="cpu", device_name="test processor", torch="2.0", engine=1, code="cd" * 32)
PARAMS = """\
scale: small
model: reference
trick: baseline
device: cpu
records: use
scales:
  small: {{train_images: 640, validation_images: 64, test_images: 200, num_epochs: 2,
          seeds: {seeds}, precision: fp32, threads: 1, train: {own}}}
train: {{learning_rate: 0.05, batch_size: 64, validations_per_epoch: 2, early_stop_count: 4}}
models:
{models}
reference: {{filters: [8], kernel_size: 5, stride: 1, padding: 2, pool: 2, hidden: [8]}}
tricks: {{{tricks}}}
improve: {improve}
combine: {combine}
factorial: {factorial}
sensitivity: {sensitivity}
ablation: {ablation}
transfer: {{backbones: [resnet18, efficientnet_lite0], learning_rate: 0.0005, batch_size: 16,
           image_size: 32, cache_gb: 1.0}}
visualize:
  image: data/images/photo.jpg
  layers:
    resnet18: {{first: conv1, filters: [14, 26, 32, 49, 52], last: layer4, channels: [0, 1, 2]}}
"""
NET = "{filters: [8], kernel_size: 5, stride: 1, padding: 2, pool: 2, hidden: [8]}"
TRICKS = "baseline: {}, augment: {}, leaky_relu: {negative_slope: 0.1}"
IMPROVE = (
    "{both: {model: model1, tricks: {augment: {}, leaky_relu: {negative_slope: 0.1}}},"
    " wider: {model: model1, tricks: {augment: {}}, net: {filters: [16]}}}"
)


@contextlib.contextmanager
def make_study(
    root: Path,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    models: tuple[str, ...] = ("model1", "narrow"),
    tricks: str = TRICKS,
    improve: str = IMPROVE,
    combine: str = "{}",
    factorial: str = "{}",
    sensitivity: str = "{}",
    ablation: str = "null",
    recorded: Mapping[str, int] = MappingProxyType({}),
    own: str = "{}",
    diverged: Collection[tuple[str, int]] = (),
    missing: Collection[str] = (),
    fewer: Mapping[str, int] = MappingProxyType({}),
    validations: Mapping[tuple[str, int], int] = MappingProxyType({}),
) -> Iterator[StudyResults]:
    """Writes params.yaml, runs/ and reports/ into the folder and works in it.

    Args:
        root: an empty folder.
        seeds: of every variant.
        models: names of the nets.
        tricks: the section of params.yaml.
        improve: likewise; so are combine, factorial, sensitivity and ablation.
        recorded: by key, how many of the seeds of a variant of ablation are on record.
        own: what the scale's protocol has in place of values of ``train``.
        diverged: which variants and seeds.
        missing: keys of the variants that were not trained.
        fewer: by key, how many of the seeds were trained, where it is not all of them.
        validations: how many there were, where it is not four, by variant and seed.
    """
    with contextlib.chdir(root):
        nets = "\n".join(f"  {name}: {NET}" for name in models)
        text = PARAMS.format(
            seeds=list(seeds),
            models=nets,
            tricks=tricks,
            improve=improve,
            combine=combine,
            factorial=factorial,
            sensitivity=sensitivity,
            ablation=ablation,
            own=own,
        )
        Path("params.yaml").write_text(text)
        params = load_params()
        all_variants = planned_variants(params)
        known = {key: variant for key, variant in all_variants.items() if key not in missing}
        trained = {key: seeds[: fewer.get(key, len(seeds))] for key in known}
        runs = {
            key: _write_variant(params, known[key], diverged, trained[key], validations)
            for key in known
        }
        labels = np.arange(NUM_TEST_IMAGES) % 10
        scores = [_score(key, seed, labels) for key in known for seed in trained[key]]
        write_atomically(Path("reports/small/metrics.json"), to_json(metrics(params, runs, scores)))
        write_predictions(Path("reports/small/predictions.csv.gz"), labels, scores)
        write_calibration(Path("reports/small/calibration.csv"), scores)
        everything = planned_variants(params, ablation=True)
        for key, count in recorded.items():
            for seed in seeds[:count]:
                write_synthetic_record(params, everything[key], seed)
        yield read_study(params)


def generator(key: str, seed: int) -> np.random.Generator:
    """Random numbers of a variant and seed, the same in every process."""
    return np.random.default_rng([zlib.crc32(key.encode()), seed])


def _write_variant(
    params: Params,
    variant: Variant,
    diverged: Collection[tuple[str, int]],
    seeds: tuple[int, ...],
    validations: Mapping[tuple[str, int], int],
) -> Run:
    results = {}
    for seed in seeds:
        gone = (variant.key, seed) in diverged
        count = validations.get((variant.key, seed), 2 if gone else 4)
        folder = seed_folder(params.scale, variant.key, seed)
        results[seed] = _write_seed(variant, seed, folder, count, diverged=gone)
    run = _run(params, variant, results)
    write_run(run, run_folder(params.scale, variant.key))
    return run


def write_synthetic_record(params: Params, variant: Variant, seed: int) -> Path:
    """Puts a seed on record; returns the file."""
    with tempfile.TemporaryDirectory() as folder:
        results = {seed: _write_seed(variant, seed, Path(folder), 4, diverged=False)}
        history = (Path(folder) / "history.csv").read_bytes()
    score = _score(variant.key, seed, np.arange(NUM_TEST_IMAGES) % 10)
    run = _run(params, variant, results)
    record = Record(run=run, history=history, answers=to_answers(score))
    return write_record(record, seconds=1.0)


def _write_seed(
    variant: Variant, seed: int, folder: Path, count: int, *, diverged: bool
) -> SeedResult:
    """Writes the curves, with so many validations, into the folder."""
    rows = _history(variant, seed, count, diverged=diverged)
    value = float(generator(variant.key, seed).uniform(0.3, 0.9))
    return SeedResult(
        status="diverged" if diverged else "finished",
        steps=rows[-1]["step"],
        best_step=rows[1]["step"],
        train_loss=None if diverged else 1.0,
        train_accuracy=value,
        validation_loss=None if diverged else 1.2,
        validation_accuracy=value - 0.1,
        mean=(125.0, 123.0, 114.0),
        std=(63.0, 62.0, 67.0),
        weights_sha256="0" * 64,
        history_sha256=write_history(folder / "history.csv", rows),
        origin=ORIGIN,
    )


def _run(params: Params, variant: Variant, results: dict[int, SeedResult]) -> Run:
    return Run(
        scale=params.scale,
        key=variant.key,
        group=variant.group,
        model=variant.model,
        trick=variant.trick,
        tricks=variant.tricks,
        recipe=as_json(variant.recipe),
        num_parameters=1234,
        steps_per_epoch=variant.recipe.steps_per_epoch,
        data={"train": "ab" * 32},
        seeds=results,
    )


def _history(variant: Variant, seed: int, count: int, *, diverged: bool) -> list[dict[str, object]]:
    """So many validations, the last with NaN where the training diverged."""
    numbers = generator(variant.key, seed)
    rows: list[dict[str, object]] = []
    for validation in range(1, count + 1):
        step = variant.recipe.steps_per_epoch * validation // 2
        for split in ("train", "validation"):
            gone = diverged and validation == count
            rows.append(
                {
                    "step": step,
                    "epoch": round(step / variant.recipe.steps_per_epoch, 4),
                    "split": split,
                    "loss": float("nan") if gone else float(numbers.uniform(0.5, 2)),
                    "accuracy": float(numbers.uniform(0.1, 0.9)),
                }
            )
    return rows


def _score(key: str, seed: int, labels: np.ndarray) -> Score:
    numbers = generator(key, seed)
    wrong = numbers.random(len(labels)) < numbers.uniform(0.1, 0.5)
    predictions = np.where(wrong, (labels + 1) % 10, labels).astype(np.uint8)
    accuracy = float((predictions == labels).mean())
    confidence = numbers.uniform(0.3, 1, (len(labels), 1))
    probabilities = np.where(
        np.arange(10) == predictions[:, None], confidence, (1 - confidence) / 9
    )
    return Score(
        key=key,
        seed=seed,
        accuracy=accuracy,
        loss=1.5,
        calibration=calibrate(probabilities, labels),
        predictions=predictions,
        num_classes=10,
    )


COMBINE = "{both: {model: model1, tricks: {augment: {}, leaky_relu: {negative_slope: 0.1}}}}"
FACTORIAL = "{model1: [augment, leaky_relu], narrow: [augment, leaky_relu]}"
SENSITIVITY = (
    "{model1_batch_32: {model: model1, train: {batch_size: 32}},"
    " model1_hidden_128: {model: model1, net: {hidden: [128]}},"
    " own: {model: narrow, train: {learning_rate: 0.2}}}"
)


def predictions() -> pd.DataFrame:
    return read_predictions(Path("reports/small/predictions.csv.gz"), 10)


RECIPE = (
    "{best: {model: model1, tricks: {augment: {}}},"
    " rec: {model: model1, tricks: {leaky_relu: {negative_slope: 0.1}, label_smoothing: {},"
    " test_time_augmentation: {}}, train: {early_stop_count: null}}}"
)
ABLATION = (
    "{recipe: rec, changes: {silu: {without: [leaky_relu], tricks: {silu: {}}},"
    " wide: {net: {filters: [16]}}},"
    " alone: {models: [model1, narrow], tricks: {gelu: {}, label_smoothing: {}}}}"
)
