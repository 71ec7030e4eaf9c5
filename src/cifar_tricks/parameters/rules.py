"""What params.yaml may not say although every single value is in its range.

All functions raise ValueError with the key, the value and what is valid.
"""

from __future__ import annotations

from collections.abc import Mapping

from cifar_tricks.base.mistakes import wrong_name
from cifar_tricks.datasets.catalogue import CIFAR10, FOLDER_MARK
from cifar_tricks.parameters.ablation import check_ablation
from cifar_tricks.parameters.imported import ImportedSpec, apply_trick
from cifar_tricks.parameters.improve import check_changes
from cifar_tricks.parameters.protocol import NoDataset, dataset, dataset_spec
from cifar_tricks.parameters.schema import Params, Stack
from cifar_tricks.training.backbones import BACKBONES
from cifar_tricks.training.recipe import IMAGE_CHANNELS, AnyRecipe, Recipe
from cifar_tricks.tricks import Trick

# Names of groups and of other folders beside the results of a model or a scale.
RESERVED_MODELS = ("reference", "improve", "combine", "transfer", "sensitivity", "ablation")
RESERVED_SCALES = ("experiment",)
REQUIRED_TRICKS = {
    "baseline": "every trick is compared with it",
    "augment": "the stage augment makes its copies",
}


def check_names(params: Params) -> None:
    """Names that refer to others, and those that are taken or required."""
    if params.scale not in params.scales:
        raise ValueError(wrong_name(("scale",), params.scale, params.scales))
    for trick, why in REQUIRED_TRICKS.items():
        if trick not in params.tricks:
            raise ValueError(f"tricks.{trick} is missing: {why}")
    if params.trick not in params.tricks:
        raise ValueError(wrong_name(("trick",), params.trick, params.tricks))
    if params.model not in (models := {**params.models, "reference": params.reference}):
        raise ValueError(wrong_name(("model",), params.model, models))
    if params.model == "reference" and params.trick != "baseline":
        raise ValueError(f"trick = {params.trick}: the reference net is trained with baseline only")
    for section in ("improve", "combine", "sensitivity"):
        for name, setting in getattr(params, section).items():
            # Their stages depend on one of `models`.
            if setting.model not in params.models:
                raise ValueError(wrong_name((section, name, "model"), setting.model, params.models))
    check_changes(params)
    check_ablation(params)
    for backbone in (*params.transfer.backbones, *params.visualize.layers):
        if backbone not in BACKBONES:
            where = ("transfer", "backbones")
            if backbone in params.visualize.layers:
                where = ("visualize", "layers")
            raise ValueError(wrong_name(where, backbone, BACKBONES))
    if len(set(params.transfer.backbones)) != len(params.transfer.backbones):
        raise ValueError(f"transfer.backbones = {list(params.transfer.backbones)}: each name once")
    for section, names in (("models", RESERVED_MODELS), ("scales", RESERVED_SCALES)):
        for name in set(names) & set(getattr(params, section)):
            raise ValueError(f"{section}.{name}: this name is taken; choose another")


def check_factorial(params: Params) -> None:
    """Whether its models and tricks are there."""
    models = {**params.models, "reference": params.reference}
    for model, tricks in params.factorial.items():
        if model not in models:
            raise ValueError(wrong_name(("factorial",), model, models))
        others = {name: numbers for name, numbers in params.tricks.items() if name != "baseline"}
        for trick in tricks:
            if trick not in others:
                raise ValueError(wrong_name(("factorial", model), trick, others))
        if len(set(tricks)) != len(tricks):
            raise ValueError(f"factorial.{model} = {list(tricks)}: each trick once")


def is_usable(params: Params, scale: str) -> bool:
    """Whether a scale is the chosen one, or no folder of images that it names is missing: that may
    lie on another machine."""
    try:
        dataset(params, scale)
    except NoDataset:
        is_folder = dataset_spec(params, scale).startswith(FOLDER_MARK)
        return scale == params.scale or not is_folder
    return True


def check_images(params: Params, scale: str) -> None:
    """Seeds, and whether the data set has as many images as the splits want."""
    size, data = params.scales[scale], dataset(params, scale)
    if len(set(size.seeds)) != len(size.seeds):
        raise ValueError(f"scales.{scale}.seeds = {list(size.seeds)}: each seed once")
    if size.beside is not None and size.beside not in params.scales:
        raise ValueError(wrong_name(("scales", scale, "beside"), size.beside, params.scales))
    # Whoever names other data has not made all scales for them.
    if scale != params.scale and not size.data and data is not CIFAR10:
        return
    if (total := size.train_images + size.validation_images) > data.train_images:
        raise ValueError(
            f"scales.{scale}: train_images + validation_images = {total}: {data.title} has "
            f"{data.train_images} training images"
        )
    if size.test_images > data.test_images:
        raise ValueError(
            f"scales.{scale}.test_images = {size.test_images}: {data.title} has {data.test_images}"
        )


def check_steps(recipe: AnyRecipe, protocol: str) -> None:
    """Whether batches and validations fit into an epoch.

    Args:
        recipe: of a training.
        protocol: the keys that lead to its ``batch_size``.
    """
    if recipe.batch_size > recipe.train_images:
        raise ValueError(
            f"{protocol}.batch_size = {recipe.batch_size}: more than the "
            f"{recipe.train_images} training images"
        )
    if recipe.validations_per_epoch > recipe.steps_per_epoch:
        raise ValueError(
            f"{protocol}.validations_per_epoch = {recipe.validations_per_epoch}: an epoch has "
            f"{recipe.steps_per_epoch} steps"
        )


def check_recipe(recipe: Recipe, stack: Stack, where: tuple[str, ...]) -> None:
    """Whether batches and validations fit into an epoch, every layer into the image, and the tricks
    together."""
    check_steps(recipe, ".".join((*where, "train") if stack.train else ("train",)))
    name = stack.model if stack.model == "reference" else f"models.{stack.model}"
    tricks = ".".join((*where, "tricks"))
    flips = any(call.arguments.get("flip_probability") for call in recipe.batch_transforms)
    if recipe.mirror and flips:
        raise ValueError(
            f"{tricks}: alternating_flip and augment_online both flip images, so none takes turns; "
            "leave one out, or set augment_online.flip_probability = 0"
        )
    for call in (*recipe.batch_transforms, recipe.views):
        moved = call.arguments.get("pixels", 0) if call else 0
        if call and moved >= (most := recipe.net.image_size):
            trick = call.target.split(".")[-2]
            raise ValueError(
                f"{tricks}.{trick}.pixels = {moved}: images of {most} x {most} pixels are moved by "
                f"at most {most - 1}"
            )
    if isinstance(recipe.net, ImportedSpec):
        return  # which is built and tried where it is trained
    try:
        recipe.net.feature_map_sizes()
    except ValueError as error:
        raise ValueError(f"{'.'.join((*where, 'net')) if stack.net else name}: {error}") from error
    _check_net(recipe, tricks)


def _check_net(recipe: Recipe, tricks: str) -> None:
    """Whether tricks can do their work on this net."""
    net = recipe.net
    if net.pool_early and net.pool is None:
        raise ValueError(f"{tricks}.early_pooling: the net has no pooling (pool = null)")
    if net.stem is not None and recipe.features is not None:
        images = min(recipe.features.arguments["images"], recipe.train_images)
        patches = images * (net.image_size - net.stem + 1) ** 2
        if patches < (values := IMAGE_CHANNELS * net.stem**2):
            raise ValueError(
                f"{tricks}.whitening: {images} images have {patches} patches of {net.stem} x "
                f"{net.stem} pixels, fewer than the {values} values of one; take more images, or a "
                "smaller kernel_size"
            )


def check_effects(base: Recipe, tricks: Mapping[str, Trick], where: str) -> None:
    """Whether each trick of a list changes anything: what comes behind it may take its place.

    Args:
        base: the recipe without tricks.
        tricks: the list, in its order.
        where: the keys that lead to it.
    """
    whole, before, behind = apply(base, tricks), base, dict(tricks)
    for name, trick in tricks.items():
        del behind[name]
        if name != "baseline" and apply(before, behind) == whole:
            raise ValueError(
                f"{where}.{name}: it changes nothing: a trick behind it takes its place; leave one "
                "of them out, or put it behind"
            )
        before = apply_trick(trick, name, before)


def apply(recipe: Recipe, tricks: Mapping[str, Trick]) -> Recipe:
    """The recipe with these tricks, one after the other."""
    for name, trick in tricks.items():
        recipe = apply_trick(trick, name, recipe)
    return recipe
