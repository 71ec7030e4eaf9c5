"""Where the state of an unfinished training lies, and what it belongs to."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cifar_tricks.arrays import Arrays
from cifar_tricks.checkpoint import differences
from cifar_tricks.claims import DESCRIPTION
from cifar_tricks.files import write_atomically
from cifar_tricks.machine import device_name
from cifar_tricks.recipe import AnyRecipe
from cifar_tricks.runs import to_json
from cifar_tricks.variants import Variant

PACKAGE = Path(__file__).parent


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
    return source_hash({"cifar_tricks.study", *called})


def source_hash(roots: Iterable[str]) -> str:
    """sha256 over the source of modules, and of all of this package that they import.

    Args:
        roots: names of modules; others' are left out.

    Raises:
        RuntimeError: the source of one of them is not here: a hash of less would agree with any.
    """
    wanted = [root for root in roots if root.split(".")[0] == PACKAGE.name]
    missing = set(wanted)
    sources: dict[str, bytes] = {}
    while wanted:
        name = wanted.pop()
        path = PACKAGE.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in sources and name.split(".")[0] == PACKAGE.name and path.is_file():
            sources[name] = path.read_bytes()
            wanted += _imports(sources[name])
    if not sources or (missing := missing - sources.keys()):
        raise RuntimeError(f"no source of {', '.join(sorted(missing)) or 'anything'} in {PACKAGE}")
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(name.encode() + source)
    return digest.hexdigest()


def _imports(source: bytes) -> Iterator[str]:
    """Names of the modules that a source imports, packages and functions among them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
