"""Whether a net of the user's can be trained, tried with two images before any training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_tricks.base.sources import PACKAGE
from cifar_tricks.base.user_code import is_installed, own_files
from cifar_tricks.imported.build import import_target, make_bare, operate, seeded
from cifar_tricks.imported.opened import NetworkAsked, read_by
from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.training.predicting import autocast
from cifar_tricks.training.recipe import IMAGE_CHANNELS

CPU = torch.device("cpu")
_known: dict[str, str] = {}


def left_out(spec: ImportedSpec, *, precision: str) -> str:
    """What the net lacks for its tricks, "" for nothing. Builds and tries it, once in a process.

    Args:
        spec: the net with its tricks.
        precision: at which it is trained.

    Raises:
        ValueError: without any trick it cannot be built or trained.
    """
    key = f"{precision} {json.dumps(asdict(spec), sort_keys=True)}"
    if key not in _known:
        bare = spec.bare()
        if spec == bare:
            _check(spec, precision)
        elif not left_out(bare, precision=precision):
            _known[key] = _lacking(spec, precision)
    return _known.setdefault(key, "")


def _lacking(spec: ImportedSpec, precision: str) -> str:
    if spec.unfit:
        return f"{' and '.join(spec.unfit)}: only for nets that params.yaml describes by filters"
    net = make_bare(spec, seed=0)
    if lacks := operate(net, spec, seed=0):
        return f"the net has {' and '.join(lacks)}"
    try:
        _try(net, spec, precision)
    except ValueError as error:
        return f"with the new layers, {error}"
    return ""


def _check(spec: ImportedSpec, precision: str) -> None:
    before = {*sys.modules}
    with read_by(own_files(spec.target, Path.cwd())) as files:
        if not callable(target := _called(spec, "cannot be imported:", import_target, spec)):
            raise ValueError(f"{spec.target} is {_name(target)}, not a class or function")
        net = _called(spec, "raises", make_bare, spec, seed=0)
        _check_parameters(spec, net)
        _try(net, spec, precision)
    for path in (*files, *_outside({*sys.modules} - before, spec)):
        raise ValueError(
            f"{spec.target} reads {path}, which neither DVC nor another machine sees: only its own "
            "modules and installed packages count, and initial weights come from the seed"
        )
    first, same, other = (make_bare(spec, seed=seed).state_dict() for seed in (0, 0, 1))
    if not _equal(first, same) or _equal(first, other):
        often = "the same weights for every seed" if _equal(first, other) else "others each time"
        raise ValueError(
            f"{spec.target} begins with {often}: let PyTorch, NumPy or random draw them, without a "
            "seed of your own"
        )


def _called(spec: ImportedSpec, what: str, call: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    try:
        return call(*args, **kw)
    except NetworkAsked as error:
        host = f"asks {error} for something"
        raise ValueError(f"{spec.target} {host}: initial weights come from the seed") from error
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise ValueError(f"{spec.target} {what} {_told(error)}") from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _equal(first: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], other[name]) for name in first)


def _name(value: object) -> str:
    return f"a {type(value).__name__}"


def _check_parameters(spec: ImportedSpec, net: object) -> None:
    if not isinstance(net, nn.Module):
        raise ValueError(f"{spec.target} returns {_name(net)}, not a torch.nn.Module")
    if any(isinstance(value, nn.UninitializedParameter) for value in net.parameters()):
        raise ValueError(f"{spec.target} has lazy layers: give them their sizes")
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor) or value.device != CPU:
            raise ValueError(f"{spec.target}: {name} is no tensor on the CPU")
        if (value.is_floating_point() or value.is_complex()) and value.dtype != torch.float32:
            raise ValueError(f"{spec.target}: {name} is {value.dtype}, not torch.float32")
    if not any(value.requires_grad for value in net.parameters()):
        raise ValueError(f"{spec.target} has no parameters to train")


def _try(net: nn.Module, spec: ImportedSpec, precision: str) -> None:
    """Two steps, and an answer between them; raises ValueError where they fail."""
    with seeded(0):
        _step(net.train(), spec, precision)
        with torch.inference_mode():
            _logits(net.eval(), 3, spec, precision)
        _step(
            net.train(), spec, precision
        )  # what it keeps of an answer is of no use for a gradient


def _step(net: nn.Module, spec: ImportedSpec, precision: str) -> None:
    logits = _logits(net, 2, spec, precision)
    loss = F.cross_entropy(logits, torch.zeros(2, dtype=torch.long))
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ValueError(f"its logits have no gradient: {_told(error)}") from error
    if all(value.grad is None for value in net.parameters()):
        raise ValueError("its logits do not depend on its parameters")


def _logits(net: nn.Module, count: int, spec: ImportedSpec, precision: str) -> Tensor:
    images = torch.randn(count, IMAGE_CHANNELS, spec.image_size, spec.image_size)
    shape = tuple(images.shape)
    try:
        with autocast(CPU, precision):
            logits = net(images)
    except (Exception, SystemExit, NetworkAsked) as error:
        raise ValueError(f"for images {shape} it raises {_told(error)}") from error
    wanted = (count, spec.num_classes)
    if not isinstance(logits, Tensor):
        raise ValueError(f"for images {shape} it returns {_name(logits)}, not logits {wanted}")
    if logits.shape != wanted or not logits.is_floating_point():
        given = f"{logits.dtype} {tuple(logits.shape)}".removeprefix("torch.")
        raise ValueError(f"for images {shape} it returns {given}, not logits {wanted}")
    return logits.float()


def _outside(names: set[str], spec: ImportedSpec) -> list[Path]:
    """Files of newly imported modules that are neither installed nor the user's own."""
    own, found = own_files(spec.target, Path.cwd()), []
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file) not in own and not is_installed(Path(file)):
            found.append(Path(file))
    return [path for path in found if not path.is_relative_to(PACKAGE)]
