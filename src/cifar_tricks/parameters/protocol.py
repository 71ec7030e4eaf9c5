"""The training protocol of a scale, and how it compares with the original's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_tricks.base.mistakes import section
from cifar_tricks.parameters.schema import Params, Scale, Train
from cifar_tricks.training.call import Call

# The original's training images and epochs.
ORIGINAL_IMAGES, ORIGINAL_EPOCHS = 45_000, 10


def protocol(params: Params, scale: str | None = None) -> Train:
    """The training protocol at a scale: ``train``, with what the scale has in place of its values.

    Args:
        params: the checked parameters.
        scale: a key of ``scales``; the chosen one where None.

    Raises:
        ValueError: a wrong value, with its place; never after
            :func:`cifar_tricks.parameters.load.load_params`.
    """
    name = scale or params.scale
    return changed(params.train, params.scales[name].train, ("scales", name, "train"))


def changed(train: Train, values: Mapping[str, Any], where: tuple[str, ...]) -> Train:
    """The protocol with other values.

    Raises:
        ValueError: a wrong one, with its place.
    """
    return section(Train, {**train.model_dump(), **values}, where)


def slots(size: Scale, train: Train) -> dict[str, Any]:
    """The slots that every kind of recipe takes from the scale and the training protocol."""
    schedule = Call("cifar_tricks.schedules.linear") if train.schedule == "linear" else None
    of_scale = ("num_epochs", "train_images", "validation_images", "precision", "threads")
    of_train = ("validations_per_epoch", "early_stop_count")
    filled = {name: getattr(size, name) for name in of_scale}
    return filled | {name: getattr(train, name) for name in of_train} | {"schedule": schedule}


def is_small(params: Params) -> bool:
    """Whether the scale trains less than the original, and so says nothing about its claims."""
    scale = params.scales[params.scale]
    return scale.train_images < ORIGINAL_IMAGES or scale.num_epochs < ORIGINAL_EPOCHS


def follows_original(params: Params) -> bool:
    """Whether the scale has the original's training protocol: under another one, its figures and
    claims are no match for ours."""
    return not params.scales[params.scale].train
