"""A trained net to use: from its folder of plain files to probabilities.

    model.json         what it is: recipe of the net, normalisation, classes, where it came from
    model.safetensors  its weights

Nothing is unpickled or called but layers, and the weights are checked against the hash in
``model.json``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_tricks.arrays import read_arrays
from cifar_tricks.data import Normalisation
from cifar_tricks.errors import UserError
from cifar_tricks.evaluation import autocast
from cifar_tricks.files import restored
from cifar_tricks.models import load_weights
from cifar_tricks.recipe import Call, NetSpec

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
CALLS = ("activation", "norm_2d", "norm_1d", "dropout")
# A file that someone was given must not call whatever it names: layers of PyTorch, and tricks' own.
ALLOWED = re.compile(r"(torch\.nn\.[A-Z]\w*|cifar_tricks\.tricks\.\w+\.\w+)")


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A net and what it expects.

    Args:
        about: the content of ``model.json``.
        net: in evaluation mode, on the CPU.
        normalisation: of its images.
    """

    about: dict[str, Any]
    net: torch.nn.Module
    normalisation: Normalisation

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of each class.

        Args:
            images: uint8 (N, 32, 32, 3), RGB.

        Returns:
            float32 (N, 10), rows that add up to 1, in the order of ``about["classes"]``.

        Raises:
            ValueError: another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
            given = f"{images.dtype} {images.shape}"
            raise ValueError(f"images are {given}; valid: uint8 (N, 32, 32, 3)")
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        normalise = self.normalisation.to(torch.device("cpu"))
        # At the precision that its test accuracy was measured with.
        with autocast(torch.device("cpu"), self.about["precision"]):
            logits = self.net(normalise(batch)).float()
        return torch.softmax(logits.double(), 1).float().numpy()


def load_classifier(folder: Path) -> Classifier:
    """Reads a folder that the stage ``champion`` wrote, or a copy of it.

    Raises:
        UserError: it is not there, holds no net, or its weights are missing or damaged.
    """
    path = folder / DESCRIPTION
    try:
        about = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: make repro writes it") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: dvc repro --force champion") from error
    if not about.get("key"):
        raise UserError(f"{path} names no net: no training of this scale came to a result")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights} is missing: dvc checkout {weights}, dvc pull, or make repro")
    arrays = read_arrays(weights)
    if arrays.sha256 != about["weights_sha256"]:
        raise UserError(f"{weights} is not the file of {path}; {restored(weights)}")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.arrays.items()}
    net = load_weights(_spec(path, about["net"]), tensors, torch.device("cpu"))
    net.eval()
    normalisation = Normalisation(mean=tuple(about["mean"]), std=tuple(about["std"]))
    return Classifier(about=about, net=net, normalisation=normalisation)


def _spec(path: Path, fields: dict[str, Any]) -> NetSpec:
    """The net's recipe as it was before it was written as JSON."""
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()}
    # The weights are there: how they began does not matter.
    values["weight_init"] = None
    for name in CALLS:
        if values[name] is not None:
            call = Call(**fields[name])
            if not ALLOWED.fullmatch(call.target):
                raise UserError(f"{path}: net.{name} = {call.target}: not a layer; nothing was run")
            values[name] = call
    return NetSpec(**values)
