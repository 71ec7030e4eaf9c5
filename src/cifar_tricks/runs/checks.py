"""Refuses results that do not belong together, or lack some: runs of other parameters, of different
data, or that are not here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.datasets.dataset import ABOUT, FOLDER, read_dataset
from cifar_tricks.parameters.protocol import dataset_spec
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant
from cifar_tricks.runs.folders import read_run, run_folder
from cifar_tricks.runs.run import Run
from cifar_tricks.training.call import as_json


def check_dataset(params: Params, scale: str | None = None) -> None:
    """Whether the images that are here are those of the scale's data set.

    Args:
        params: the checked parameters.
        scale: a key of ``scales``; the chosen one where None.

    Raises:
        UserError: they are others'.
    """
    if not (FOLDER / ABOUT).exists():
        return  # what reads the images says that they are missing
    spec, here = read_dataset()
    if spec != (wanted := dataset_spec(params, scale)):
        raise UserError(
            f"{FOLDER} holds {here.title}, and scale {scale or params.scale} is of {wanted}: "
            f"dvc repro download, with scale = {scale or params.scale} in params.yaml, fetches it"
        )


def check_complete(scale: str, wanted: Mapping[str, Collection[int]]) -> None:
    """Whether every seed was trained and its run is here.

    ``dvc repro --allow-missing`` runs a stage with what a clone happens to have: what is made of
    that must not take the place of what was made of all.

    Args:
        scale: a key of ``scales``.
        wanted: the seeds by key of their variant.

    Raises:
        UserError: one is not; the message has the command that brings it back.
    """
    folders = {key: run_folder(scale, key) for key in wanted}
    missing = [str(path) for path in folders.values() if not (path / "run.json").exists()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(wanted)} nets are not here; get them with: dvc pull "
            f"{' '.join(missing)}; or train them: dvc repro"
        )
    for key, seeds in wanted.items():
        trained = read_run(scale, key).seeds
        if lacking := [str(seed) for seed in sorted(seeds) if seed not in trained]:
            raise UserError(f"{folders[key]} lacks seed {', '.join(lacking)}: dvc repro trains it")


def check_run(run: Run, variant: Variant, seeds: tuple[int, ...]) -> None:
    """Whether a run is of the recipe and of seeds that params.yaml holds now.

    Seeds may be missing: a study can grow.

    Raises:
        UserError: it is not; the message names the run and what differs.
    """
    if run.key != variant.key:
        difference = f"{run.key}, not {variant.key}"
    elif tuple(run.seeds) != tuple(seed for seed in seeds if seed in run.seeds):
        difference = f"seeds {list(run.seeds)}, not {list(seeds)}"
    else:
        # Through JSON, so that tuples and lists compare equal.
        wanted, found = to_json(as_json(variant.recipe)), to_json(run.recipe)
        if wanted == found:
            return
        lines = zip(found.decode().splitlines(), wanted.decode().splitlines(), strict=False)
        ours, theirs = next(pair for pair in lines if pair[0] != pair[1])
        difference = f"{ours.strip(' ,')}, not {theirs.strip(' ,')}"
    raise UserError(
        f"{run_folder(run.scale, variant.key)} was trained from other parameters than params.yaml "
        f"holds now ({difference}): dvc repro trains it anew"
    )


def check_data(runs: Mapping[str, Run]) -> None:
    """Whether all runs read the same training images, and the same copies where they did.

    Args:
        runs: by key.

    Raises:
        UserError: they did not; the message names two that differ.
    """
    for file in ("train", "copies"):
        by_hash: dict[str, str] = {}
        for key, run in runs.items():
            if file == "train" or file in run.data:
                by_hash.setdefault(run.data.get(file, ""), key)
        if len(by_hash) > 1:
            keys = " and ".join(list(by_hash.values())[:2])
            what = "data" if file == "train" else "copies of the training images"
            raise UserError(f"{keys} were trained on different {what}: dvc repro trains them anew")
