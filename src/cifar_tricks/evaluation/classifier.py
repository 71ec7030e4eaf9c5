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
from pydantic import ValidationError

from cifar_tricks.base.arrays import Arrays, read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored
from cifar_tricks.base.mistakes import explain, shorten
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.datasets.dataset import is_name
from cifar_tricks.evaluation import DESCRIPTION, WEIGHTS
from cifar_tricks.parameters.schema import Net, Params
from cifar_tricks.parameters.variants import planned_variants
from cifar_tricks.training.call import Call, as_json
from cifar_tricks.training.nets import load_weights
from cifar_tricks.training.normalisation import Normalisation
from cifar_tricks.training.predicting import autocast
from cifar_tricks.training.recipe import IMAGE_CHANNELS, AnyNet, NetSpec

CALLS = ("activation", "norm_2d", "norm_1d", "dropout")
LATER = {
    "conv_bias": bool,
    "stem": int | None,
    "pool_early": bool,
    "pool_all": bool,
    "logit_scale": float | int,
    "image_size": int,
    "num_classes": int,
}
LARGEST_ARGUMENT = 1000
# What a description may raise that does not fit its weights, or is no description.
NOT_A_NET = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
# A file that someone was given must not call whatever it names: layers of PyTorch, and tricks' own.
ALLOWED = re.compile(r"(torch\.nn\.[A-Z]\w*|cifar_tricks\.tricks\.\w+\.\w+)")


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A net and what it expects.

    Args:
        about: the content of ``model.json``.
        net: in evaluation mode, on the CPU.
        normalisation: of its images.
        image_size: their height and width, in pixels.
    """

    about: dict[str, Any]
    net: torch.nn.Module
    normalisation: Normalisation
    image_size: int

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of each class.

        Args:
            images: uint8 (N, image_size, image_size, 3), RGB.

        Returns:
            float32 (N, classes), rows that add up to 1, in the order of ``about["classes"]``.

        Raises:
            ValueError: another shape or type.
        """
        shape = (self.image_size, self.image_size, 3)
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            given = f"{images.dtype} {images.shape}"
            valid = f"uint8 (N, {', '.join(map(str, shape))})"
            raise ValueError(f"images are {given}; valid: {valid}")
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        normalise = self.normalisation.to(torch.device("cpu"))
        # At the precision that its test accuracy was measured with.
        with autocast(torch.device("cpu"), self.about["precision"]):
            logits = self.net(normalise(batch)).float()
        return torch.softmax(logits.double(), 1).float().numpy()


def load_classifier(folder: Path, params: Params | None = None) -> Classifier:
    """Reads a folder that the stage ``champion`` wrote, or a copy of it.

    Args:
        folder: of plain files.
        params: the checked parameters, whose imported nets may be called; None for none.

    Raises:
        UserError: it is not there, its weights are missing or damaged, or they are not those of the
            net that is described.
    """
    path = folder / DESCRIPTION
    try:
        about = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: make repro writes it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: dvc repro --force --single-item champion") from error
    if not isinstance(about, dict) or not about.get("key"):
        raise UserError(f"{path} names no net: no training of this scale came to a result here")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights} is missing: dvc pull {weights}, or make repro")
    arrays = read_arrays(weights)
    if arrays.sha256 != about.get("weights_sha256"):
        raise UserError(f"{weights} is not the file of {path}; {restored(weights)}")
    try:
        return _build(about, arrays, params)
    except NOT_A_NET as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not describe the net of {weights}: {reason}") from error


def _build(about: dict[str, Any], arrays: Arrays, params: Params | None) -> Classifier:
    """The classifier, after it has answered once; raises one of NOT_A_NET."""
    classes = about["classes"]
    shown = f"{about['key']} {int(about['seed'])} {about['scale']} {about['test_accuracy']:.4f}"
    if not shown.isprintable():
        raise ValueError(f"it says {shorten(shown)}")
    spec: AnyNet
    if "target" in about["net"]:
        spec = _imported(about, params)
    else:
        spec = _spec(about["net"])
        _check_size(spec, sum(array.size for array in arrays.arrays.values()))
    if len(classes) != spec.num_classes or not all(map(is_name, classes)):
        raise ValueError(f"classes = {shorten(classes)}")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.arrays.items()}
    net = load_weights(spec, tensors, torch.device("cpu"))
    normalisation = Normalisation(mean=tuple(about["mean"]), std=tuple(about["std"]))
    size = spec.image_size
    classifier = Classifier(about=about, net=net, normalisation=normalisation, image_size=size)
    answer = classifier.probabilities(np.zeros((1, size, size, 3), np.uint8))
    if answer.shape != (1, len(classes)):
        raise ValueError(f"it answers with an array of shape {answer.shape}")
    return classifier


def _spec(fields: dict[str, Any]) -> NetSpec:
    """The net's recipe as it was before it was written as JSON."""
    sizes = {name: fields[name] for name in Net.model_fields}
    try:
        values = dict(Net.model_validate(sizes))
    except ValidationError as error:
        raise ValueError(explain(error, where=("net",))) from error
    for name, kinds in LATER.items():
        # Absent from what was written before there were such nets.
        value = values[name] = fields.get(name, NetSpec.__dataclass_fields__[name].default)
        if not isinstance(value, kinds) or abs(value or 0) > LARGEST_ARGUMENT:
            raise ValueError(f"net.{name} = {shorten(value)}")
    for name in CALLS:
        values[name] = None if fields[name] is None else _call(f"net.{name}", **fields[name])
    return NetSpec(**values)


def _imported(about: dict[str, Any], params: Params | None) -> AnyNet:
    """An imported net, which params.yaml names just so: a file that someone was given must not call
    whatever it likes."""
    variant = planned_variants(params).get(about["key"]) if params else None
    if not variant or to_json(as_json(variant.recipe.net)) != to_json(about["net"]):
        target = shorten(about["net"]["target"])
        raise ValueError(f"net.target = {target}: not what params.yaml and its code are now")
    if reason := variant.left_out:
        raise ValueError(reason)
    return variant.recipe.net


def _call(where: str, target: str, arguments: dict[str, Any]) -> Call:
    if not ALLOWED.fullmatch(target):
        raise ValueError(f"{where} = {target}: not a layer; nothing was run")
    for name, value in arguments.items():
        # A slope, a probability or a flag; sizes come from the net.
        if not isinstance(value, float | int | None) or abs(value or 0) > LARGEST_ARGUMENT:
            raise ValueError(f"{where}.{name} = {shorten(value)}: not what a layer takes")
    return Call(target, arguments)


def _check_size(spec: NetSpec, num_values: int) -> None:
    """Refuses a net that is larger than its weights, before memory is asked for."""
    channels = spec.channels
    wanted = IMAGE_CHANNELS * channels * spec.stem**2 if spec.stem else 0
    for filters in spec.filters:
        wanted += channels * filters * spec.kernel_size**2
        channels = filters
    features = spec.features
    for units in spec.hidden:
        wanted += features * units
        features = units
    if wanted > num_values:
        raise ValueError(f"its net has at least {wanted} weights, not {num_values}")
