"""From a list of tricks on a model of params.yaml to a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_tricks.base.mistakes import choose_from, section, wrong_name
from cifar_tricks.parameters.imported import ImportedNet
from cifar_tricks.parameters.protocol import changed, dataset, protocol, slots
from cifar_tricks.parameters.rules import apply, check_effects, check_recipe
from cifar_tricks.parameters.schema import Net, Params, Stack, WholeFile
from cifar_tricks.training.call import Call
from cifar_tricks.training.recipe import NetSpec, Recipe
from cifar_tricks.tricks import Trick, load_trick, trick_names

# That lead to a value of params.yaml.
Keys = tuple[str, ...]


def stacked(params: Params, scale: str, stack: Stack, *, where: Keys) -> Recipe:
    """The recipe of a list of tricks at a scale.

    Args:
        params: the parameters.
        scale: a key of ``scales``.
        stack: the list.
        where: the keys that lead to it.

    Raises:
        ValueError: a wrong value, with its place.
    """
    recipe = apply(_base(params, scale, stack, where), _tricks(stack, where))
    check_recipe(recipe, stack, where)
    return recipe


def check_list(params: Params, scale: str, stack: Stack, *, where: Keys) -> None:
    """Whether each trick of a list, of which :func:`stacked` makes a recipe, changes anything.

    Args:
        params, scale, stack, where: as there.

    Raises:
        ValueError: one does not, with its place.
    """
    if len(stack.tricks) > 1:
        base = _base(params, scale, stack, where)
        check_effects(base, _tricks(stack, where), ".".join((*where, "tricks")))


def _base(params: Params, scale: str, stack: Stack, where: Keys) -> Recipe:
    models = {**params.models, "reference": params.reference}
    if stack.model not in models:
        raise ValueError(wrong_name((*where, "model"), stack.model, models))
    data = dataset(params, scale)
    sizes = {"image_size": data.image_size, "num_classes": len(data.class_names)}
    train = changed(protocol(params, scale), stack.train, (*where, "train"))
    filled = slots(params.scales[scale], train)
    if isinstance(stack, WholeFile):
        if train.early_stop_count is not None:
            raise ValueError(
                f"{'.'.join(where)}.all_images: no validation images are left that "
                f"early_stop_count = {train.early_stop_count} could stop by; set it to null"
            )
        images = filled["train_images"] + filled["validation_images"]
        filled |= {"train_images": images, "validation_images": 0}
    return Recipe(
        net=_spec(stack, models[stack.model], where, sizes),
        optimizer=Call("torch.optim.SGD", {"lr": train.learning_rate}),
        batch_size=train.batch_size,
        **filled,
    )


def _tricks(stack: Stack, where: Keys) -> dict[str, Trick]:
    return {
        name: _trick(name, values, (*where, "tricks", name))
        for name, values in stack.tricks.items()
    }


def _spec(stack: Stack, model: Net | ImportedNet, where: Keys, sizes: Mapping[str, Any]) -> NetSpec:
    if isinstance(model, ImportedNet):
        return model.spec(stack.net, f"models.{stack.model}", **sizes)
    net = section(Net, {**model.model_dump(), **stack.net}, (*where, "net"))
    return NetSpec(**net.model_dump(), **sizes)


def _trick(name: str, values: Mapping[str, Any], where: Keys) -> Trick:
    if name not in trick_names():
        choice = choose_from(name, trick_names())
        raise ValueError(f"{'.'.join(where)}: no trick has this name (one file each); {choice}")
    return section(load_trick(name), values, where)
