"""The training protocol of a scale, and how it compares with the original's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import section
from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.datasets.dataset import Dataset
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


class NoDataset(UserError, ValueError):
    """A data set is not there: of a scale that is not chosen this is told only when it is used."""


def dataset(params: Params, scale: str | None = None) -> Dataset:
    """What is known of the data set of a scale; of the chosen one where None.

    Raises:
        NoDataset: there is no such data set, with its place.
    """
    name = scale or params.scale
    own = params.scales[name].data
    data = own or params.data
    try:
        return data.known
    except ValueError as error:
        place = f"scales.{name}.data" if own else "data"
        raise NoDataset(f"{place}.dataset = {data.dataset}: {error}") from error


def dataset_spec(params: Params, scale: str | None = None) -> str:
    """What params.yaml calls the data set of a scale; of the chosen one where None."""
    return (params.scales[scale or params.scale].data or params.data).dataset


def is_cifar10(params: Params) -> bool:
    """Whether the scale trains on the original's images: no figure or claim of the original, and
    nothing else that belongs to these images, may stand beside other data."""
    return dataset(params) is CIFAR10


def is_small(params: Params) -> bool:
    """Whether the scale trains less than the original, and so says nothing about its claims."""
    scale = params.scales[params.scale]
    return scale.train_images < ORIGINAL_IMAGES or scale.num_epochs < ORIGINAL_EPOCHS


def is_part(params: Params) -> bool:
    """Whether the scale leaves some of the data set's training images aside."""
    scale = params.scales[params.scale]
    return scale.train_images + scale.validation_images < dataset(params).train_images


def follows_original(params: Params) -> bool:
    """Whether the scale has the original's images and training protocol: with others, its figures
    and claims are no match for ours."""
    return is_cifar10(params) and not params.scales[params.scale].train
