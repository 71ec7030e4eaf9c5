"""Where the state of an unfinished training lies, and what it belongs to."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root, write_atomically
from cifar_tricks.base.locks import AlreadyRunning, sole_writer
from cifar_tricks.base.signed_json import (
    NOT_WRITTEN_BY_US,
    differences,
    read_signed,
    signed,
    to_json,
)
from cifar_tricks.base.sources import source_hash
from cifar_tricks.parameters.variants import Variant
from cifar_tricks.runs.folders import ANSWERS, HISTORY, WEIGHTS
from cifar_tricks.runs.run import SeedResult
from cifar_tricks.training.device import device_name
from cifar_tricks.training.recipe import AnyRecipe

RESULT = "result.json"

STATE = "state.safetensors"

DESCRIPTION = "about.json"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One seed of a variant, with all that determines its outcome.

    Args:
        scale: of params.yaml.
        variant: what to train.
        seed: of the run.
        device: where.
        arrays: the training file.
        copies: its copies, where the recipe uses them.
        backbone: weights from ImageNet, where the recipe starts from them.
        code: see :func:`code_hash`.
    """

    scale: str
    variant: Variant
    seed: int
    device: torch.device
    arrays: Arrays
    copies: Arrays | None
    backbone: Arrays | None
    code: str

    def data_hashes(self) -> dict[str, str]:
        """Content hashes of the files that the training reads."""
        files = {"train": self.arrays, "copies": self.copies, "backbone": self.backbone}
        return {name: arrays.sha256 for name, arrays in files.items() if arrays is not None}

    def identity(self) -> dict[str, Any]:
        """What must agree for a saved state to be taken up again."""
        return {
            "recipe": asdict(self.variant.recipe),
            "seed": self.seed,
            "device": device_name(self.device),
            "torch": torch.__version__,
            "data": self.data_hashes(),
            "code": self.code,
        }

    def folder_name(self) -> str:
        """Names the folder of the state: the same for the same run, another for any other.

        It lies in ``resume`` and not in ``runs`` because DVC deletes a stage's outputs before it
        runs, and in the main checkout because the copies that DVC makes for queued experiments
        are deleted afterwards.
        """
        identity = json.dumps(self.identity(), sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return f"{self.name}-{digest}"

    @property
    def name(self) -> str:
        """Variant and seed, for people."""
        return f"{self.variant.key}-seed={self.seed}"

    def describe(self, folder: Path) -> None:
        """Says in the folder of the state what it belongs to."""
        about = {"scale": self.scale, "key": self.variant.key, "seed": self.seed}
        write_atomically(folder / DESCRIPTION, to_json(about | {"identity": self.identity()}))

    def other_states(self, folder: Path) -> Iterator[str]:
        """Other states of this variant and seed, which are not taken up, each with the reason.

        Args:
            folder: the state's own.
        """
        for path in sorted(folder.parent.glob(f"{self.name}-*/{DESCRIPTION}")):
            if path.parent.name != folder.name:
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    about = json.loads(path.read_bytes())
                    differing = differences(about["identity"], self.identity())
                    yield f"{path.parent} is not taken up: {differing}; to be rid of it, delete it"


def code_hash(recipe: AnyRecipe) -> str:
    """sha256 over the source of every module of this package that the training needs: the loop, and
    what the recipe calls, with all that these import. The same whatever else a process loads."""
    called = {call.place.rpartition(".")[0] for call in recipe.calls()}
    return source_hash({"cifar_tricks.runs.train", *called})


def keep_result(folder: Path, result: SeedResult) -> None:
    """Says that a seed is done; all else of it is in the folder already."""
    write_atomically(folder / RESULT, to_json(signed(asdict(result))))


def finished_result(folder: Path) -> SeedResult | None:
    """How the training of this folder ended; None where it has not.

    Raises:
        UserError: what it left is damaged.
    """
    path, anew = folder / RESULT, f"to train this seed anew: rm -r {folder}"
    try:
        result = SeedResult.from_json(read_signed(path.read_bytes()))
    except FileNotFoundError:
        return None
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {anew}") from error
    path = folder / HISTORY
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != result.history_sha256:
            raise ValueError("its content does not match its hash")
        if result.origin.recorded:
            path = folder / ANSWERS
            read_signed(path.read_bytes())
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"{path} is damaged; {anew}") from error
    path = folder / WEIGHTS
    if result.origin.recorded:
        return result
    if read_arrays(path, remedy=anew).sha256 != result.weights_sha256:
        raise UserError(f"{path} is not what this training wrote; {anew}")
    return result


@contextmanager
def claimed(trainings: list[Training]) -> Iterator[list[Path]]:
    """The folders of the trainings' states, which no other process uses meanwhile.

    Raises:
        AlreadyRunning: another process trains one of them.
    """
    with ExitStack() as claims:
        yield [claims.enter_context(hold(training)) for training in trainings]


@contextmanager
def hold(training: Training) -> Iterator[Path]:
    """The folder for the training's state, which no other process uses meanwhile."""
    name = training.folder_name()
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(sole_writer(project_root() / "resume" / name))
        except AlreadyRunning as running:
            if running.checkout == str(Path.cwd()):
                raise
            # Two queued experiments may need the same run at once: this copy trains its own.
            folder = stack.enter_context(sole_writer(Path("resume") / name))
        if not (folder / DESCRIPTION).exists():
            for line in training.other_states(folder):
                print(line, flush=True)
            training.describe(folder)
        yield folder
