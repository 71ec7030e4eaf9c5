"""One file per trick; its name is the trick's name in params.yaml.

A trick is a subclass of :class:`Trick` whose fields are its numbers and whose :meth:`Trick.apply`
maps a recipe to the changed recipe. A new one needs its file and one line under ``tricks`` in
params.yaml: the pipeline, the tests and the report iterate over that section.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from functools import cache

from cifar_tricks.base.mistakes import Section
from cifar_tricks.training.call import Call
from cifar_tricks.training.recipe import Recipe

__all__ = ["Call", "Recipe", "Trick", "load_trick", "trick_names"]


class Trick(Section, ABC):
    """A change to a recipe; the fields of a subclass are its numbers in params.yaml."""

    @abstractmethod
    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this trick; the argument stays as it is."""


@cache
def trick_names() -> tuple[str, ...]:
    """Names of all tricks that have a file, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def load_trick(name: str) -> type[Trick]:
    """The trick class that ``tricks/<name>.py`` defines.

    Raises:
        ValueError: no such file, or not exactly one :class:`Trick` in it.
    """
    if name not in trick_names():
        raise ValueError(f"there is no file src/cifar_tricks/tricks/{name}.py")
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Trick)
        and member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise ValueError(f"src/cifar_tricks/tricks/{name}.py must define exactly one Trick")
    return classes[0]
