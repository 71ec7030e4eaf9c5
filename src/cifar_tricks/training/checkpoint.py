"""The state of an interrupted training, on disk: whole or absent, and only for the same run.

It is a safetensors file: all tensors of the state, and as JSON what holds them together. Nothing is
pickled, so nothing in the file can run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifar_tricks.base.arrays import read_arrays, write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import differences


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One file that holds the state of one training.

    Args:
        path: the file.
        identity: all that determines the training, as JSON values; a state of another one is never
            taken up.
    """

    path: Path
    identity: Mapping[str, Any] = field(default_factory=dict)

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state in one step: a crash leaves the old or the new one.

        Args:
            state: tensors, numbers, texts and None, in dicts, lists and tuples; ``progress`` has no
                tensors and only texts as keys, so that it can be read without PyTorch.
        """
        arrays: dict[str, np.ndarray] = {}
        tensors = {name: value for name, value in state.items() if name != "progress"}
        note = {
            "identity": self.identity,
            "progress": state["progress"],
            "state": _pack(tensors, arrays),
        }
        write_arrays(self.path, arrays, note=json.dumps(note))

    def load(self) -> dict[str, Any] | None:
        """The saved state on the CPU, or None where there is none.

        Raises:
            UserError: the file is damaged or of another training; the message says how they differ.
        """
        if not self.path.exists():
            return None
        anew = f"delete it, and this run starts anew: rm {self.path}"
        content = read_arrays(self.path, remedy=anew)
        try:
            note = json.loads(content.note)
            found = note["identity"]
            state = {"progress": note["progress"], **_unpack(note["state"], content.arrays)}
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            raise UserError(f"{self.path} holds no state of a training; {anew}") from error
        if differing := differences(found, self.identity):
            raise UserError(f"{self.path} is of another training ({differing}); {anew}")
        return state


def _pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON, its tensors in ``arrays``."""
    if isinstance(value, Tensor):
        # From the outermost dimension in memory to the innermost: channels_last stays as it is.
        order = sorted(range(value.ndim), key=value.stride, reverse=True)
        name = str(len(arrays))
        arrays[name] = value.detach().permute(order).cpu().contiguous().numpy()
        return {"tensor": name, "order": order}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(inner, arrays)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(inner, arrays) for inner in value]}
    assert value is None or isinstance(value, bool | int | float | str), type(value)
    return value


def _unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What :func:`_pack` was given."""
    if not isinstance(packed, dict):
        return packed
    if "tensor" in packed:
        order = packed["order"]
        stored = torch.from_numpy(arrays[packed["tensor"]])
        if not order:
            return stored[0]  # a single number is stored as a row of one
        return stored.permute([order.index(dim) for dim in range(len(order))])
    if "dict" in packed:
        return {key: _unpack(inner, arrays) for key, inner in packed["dict"]}
    if "list" in packed:
        return [_unpack(inner, arrays) for inner in packed["list"]]
    return tuple(_unpack(inner, arrays) for inner in packed["tuple"])
