"""A net of the user's in params.yaml: a class or function by its import path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import Field, JsonValue, field_validator

from cifar_tricks.base.mistakes import Section
from cifar_tricks.base.user_code import code_version
from cifar_tricks.training.call import Call, later
from cifar_tricks.training.recipe import NetSpec, Recipe
from cifar_tricks.tricks import Trick


class ImportedNet(Section):
    """An entry of ``models`` that names any class or function: images (B, 3, H, W) to logits
    (B, classes)."""

    target: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("target")
    @classmethod
    def _is_a_path(cls, target: str) -> str:
        names = target.split(".")
        if len(names) < 2 or not all(name.isidentifier() for name in names):
            raise ValueError("valid: an import path, such as my_nets.TinyNet")
        return target

    @cached_property
    def source(self) -> str:
        """Which code the target is; raises ValueError where it is nowhere."""
        return code_version(self.target, Path.cwd())

    def spec(self, changes: Mapping[str, Any], where: str, **sizes: Any) -> NetSpec:
        """The net with some other arguments, for images and classes of these sizes.

        Raises:
            ValueError: its code is nowhere; with ``where`` it is named.
        """
        try:
            source = self.source
        except ValueError as error:
            raise ValueError(f"{where}.target = {self.target}: {error}") from error
        arguments = {**self.arguments, **changes}
        spec = ImportedSpec(target=self.target, arguments=arguments, source=source, **sizes)
        # Tricks change the slots that both have, and do not care for the others.
        return cast(NetSpec, spec)


@dataclass(frozen=True, kw_only=True)
class ImportedSpec:
    """The net in a recipe, where others have a :class:`~cifar_tricks.training.recipe.NetSpec`.

    The slots from ``activation`` on come from tricks; None leaves the net as it is.

    Args:
        target: import path, e.g. ``timm.create_model``.
        arguments: keyword arguments, JSON values only.
        source: which code that is, see :func:`cifar_tricks.base.user_code.code_version`.
        activation: makes what takes the place of every activation layer.
        norm_2d: called with the number of channels, the same for norms of feature maps.
        norm_1d: for the tricks that fill both; changes nothing.
        dropout: makes what takes the place of every dropout layer.
        weight_init: fills the weights of convolutions and linear layers.
        logit_scale: factor on the logits.
        unfit: tricks that change what only a net of ``filters`` has.
        image_size: height (= width) of the images in pixels.
        num_classes: how many logits it has to give.
    """

    # By their import paths, so that no other training depends on them.
    module: ClassVar[Call] = Call("cifar_tricks.imported.build.build")
    check: ClassVar[Call] = Call("cifar_tricks.imported.check.left_out")
    # Whether a GPU may record a step once and replay it: the user's code may decide by values.
    replays: ClassVar[bool] = False

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    source: str
    activation: Call | None = None
    norm_2d: Call | None = None
    norm_1d: Call | None = None
    dropout: Call | None = None
    weight_init: Call | None = None
    logit_scale: float = 1.0
    unfit: tuple[str, ...] = ()
    image_size: int = later(32)
    num_classes: int = later(10)

    def bare(self) -> ImportedSpec:
        """The net without what tricks change."""
        return ImportedSpec(
            target=self.target,
            arguments=self.arguments,
            source=self.source,
            image_size=self.image_size,
            num_classes=self.num_classes,
        )


def apply_trick(trick: Trick, name: str, recipe: Recipe) -> Recipe:
    """The recipe with a trick; where its net is the user's and has no such slot, with its name in
    ``unfit``."""
    net: Any = recipe.net
    if not isinstance(net, ImportedSpec):
        return trick.apply(recipe)
    try:
        return trick.apply(recipe)
    except (TypeError, AttributeError):
        return replace(recipe, net=cast(NetSpec, replace(net, unfit=(*net.unfit, name))))
