"""What a recipe calls: functions and classes by name, which outlives a move of their code; and how
a recipe is written down."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

# What recipes call by a name that outlives the code, and where it lies: records and run.json hold
# the name and are compared by it. Functions of a trick's own file need no entry: it stays there.
MOVED = {
    "cifar_tricks.schedules.linear": "cifar_tricks.training.optimizers.linear",
    "cifar_tricks.augmentation.augment_batch": "cifar_tricks.training.augmentation.augment_batch",
    "cifar_tricks.features.frozen_features": (
        "cifar_tricks.transfer.frozen_features.frozen_features"
    ),
}


@dataclass(frozen=True)
class Call:
    """A callable by its import path, with keyword arguments.

    Args:
        target: for example ``"torch.nn.LeakyReLU"``, a function of a trick's own file, or a key of
            :data:`MOVED`.
        arguments: keyword arguments, JSON values only.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the target with these positional arguments and both sets of keyword arguments."""
        return self.resolve()(*args, **self.arguments, **kwargs)

    def resolve(self) -> Callable[..., Any]:
        """The target itself, imported."""
        module, _, name = self.place.rpartition(".")
        target: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return target

    @property
    def place(self) -> str:
        """Import path of where the target lies now."""
        return MOVED.get(self.target, self.target)


def later(default: Any) -> Any:
    """A field that came when there were records: the JSON of recipes that do not use it lacks it,
    so that these stay as they are on record."""
    return field(default=default, metadata={"later": True})


def as_json(described: Any) -> dict[str, Any]:
    """The fields of a recipe as JSON values, :func:`later` ones only where they are used."""
    values = asdict(described)
    for one in fields(described):
        value = getattr(described, one.name)
        if one.metadata.get("later") and value == one.default:
            del values[one.name]
        elif is_dataclass(value):
            values[one.name] = as_json(value)
    return values
