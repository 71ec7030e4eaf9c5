"""What travels to a node."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cifar_tricks.base.files import hash_file
from cifar_tricks.base.user_code import own_files
from cifar_tricks.datasets.dataset import FOLDER as DATASET
from cifar_tricks.engines.jobs import Job
from cifar_tricks.parameters.imported import ImportedNet
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants
from cifar_tricks.training.backbones import FOLDER

SOURCE = Path(__file__).resolve().parents[2]
DATA = Path("data")


@dataclass(frozen=True)
class Study:
    """The study of this checkout, as engines need it.

    Args:
        params: the checked parameters.
        module: what trains and records a variant's seeds, as ``python -m`` takes it.
        device: kind of device that records have to come from: cpu or cuda; "" for any.
        keep: what becomes of a finished seed: "record" puts it on record, "weights" leaves it where
            ``dvc repro`` takes over what was trained here.
        train: whether what is finished nowhere is trained.
    """

    params: Params
    module: str
    device: str = ""
    keep: frozenset[str] = frozenset({"record"})
    train: bool = True
    plans: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def variants(self) -> dict[str, Variant]:
        """All that are planned, by key."""
        return planned_variants(self.params, ablation=True)

    @property
    def weights(self) -> bool:
        """Whether weights have to come with the records."""
        return "weights" in self.keep

    def command(self, job: Job) -> list[str]:
        """The arguments of Python that run a job in a checkout."""
        return ["-m", self.module, job.key, *map(str, job.seeds)]

    def threads(self) -> int:
        """CPU threads of one training."""
        return self.params.scales[self.params.scale].threads

    def bundle(self, data: Mapping[str, str]) -> tuple[bytes, str]:
        """The code and params.yaml as a ZIP file, and the hash that names it.

        Args:
            data: what they are used with: see :meth:`data`.
        """
        text = io.BytesIO()
        with zipfile.ZipFile(text, "w") as archive:
            archive.writestr(zipfile.ZipInfo("params.yaml"), Path("params.yaml").read_bytes())
            for path in sorted(SOURCE.rglob("*")):
                if path.is_file() and not {"__pycache__"} & {*path.parts}:
                    # Without the times of the files: the same code has the same hash.
                    entry = zipfile.ZipInfo(f"src/{path.relative_to(SOURCE).as_posix()}")
                    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
            for name, path in sorted(self._own_files().items()):
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
        used = json.dumps(data, sort_keys=True).encode()
        return text.getvalue(), hashlib.sha256(text.getvalue() + used).hexdigest()[:16]

    def _own_files(self) -> dict[str, Path]:
        """The user's modules that the nets of params.yaml name, by their places."""
        models, root = self.params.models.values(), Path.cwd()
        targets = [model.target for model in models if isinstance(model, ImportedNet)]
        files = [path for target in targets for path in own_files(target, root)]
        return {path.relative_to(root).as_posix(): path for path in files}

    def data(self, jobs: Iterable[Job]) -> dict[str, str]:
        """The files that jobs read, each with its sha256."""
        keys = {job.key for job in jobs}
        known = self.variants
        files = sorted(
            path for kind in ("safetensors", "json") for path in DATASET.glob(f"*.{kind}")
        )
        if any(known[key].recipe.copies for key in keys):
            files.append(DATA / "augmented.safetensors")
        if any(known[key].backbone for key in keys):
            files += sorted(path for path in FOLDER.rglob("*") if path.is_file())
        return {path.as_posix(): hash_file(path) for path in files}
