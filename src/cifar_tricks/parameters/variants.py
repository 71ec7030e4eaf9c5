"""All training runs of the study: each variant's recipe, by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import printable
from cifar_tricks.parameters.ablation import GROUP, ablated
from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.parameters.improve import change_at, improve_step
from cifar_tricks.parameters.protocol import dataset, protocol, slots
from cifar_tricks.parameters.rules import check_steps
from cifar_tricks.parameters.schema import Params, Stack
from cifar_tricks.parameters.stacks import Keys, stacked
from cifar_tricks.training.backbones import IMAGENET_MEAN, IMAGENET_STD, used_backbone
from cifar_tricks.training.call import Call
from cifar_tricks.training.recipe import AnyRecipe, BackboneSpec, TransferRecipe


class VariantNames:
    """What follows from the names of a variant, as params.yaml plans it or as it was trained."""

    key: str
    group: str
    trick: str

    @property
    def folder(self) -> str:
        """Names its folder in ``runs/<scale>``."""
        return folder_name(self.key)

    @property
    def stage(self) -> str:
        """The stage of dvc.yaml that trains it."""
        if self.group in ("reference", "transfer"):
            return self.group
        return f"train@{self.key}" if self.group == "tricks" else f"{self.group}@{self.trick}"


def folder_name(key: str) -> str:
    """Names a variant's folder: its key, but ``transfer`` for every backbone, because DVC has to
    know the folder before it is known which backbone can be had."""
    return "transfer" if key.startswith("transfer-") else key


@dataclass(frozen=True, kw_only=True)
class Variant(VariantNames):
    """One recipe of the study.

    Args:
        key: names it, e.g. ``model1-dropout``.
        group: the section of params.yaml that it stands in; of a model with a trick, ``tricks``.
        model: key of ``models``, or ``reference``; of ``transfer``, the backbone.
        trick: name of the trick; of a stack of tricks or a setting, its entry.
        tricks: names of all tricks applied, in order.
        recipe: the resolved recipe.
        against: key of what it is compared with; None for the baseline of its net.
    """

    key: str
    group: str
    model: str
    trick: str
    tricks: tuple[str, ...]
    recipe: AnyRecipe
    against: str | None = None

    @property
    def base(self) -> str:
        """Key of the variant that it is compared with."""
        return self.against or f"{self.model}-baseline"

    @property
    def backbone(self) -> str | None:
        """The net from ImageNet that it starts from; None for a net of our own."""
        return self.recipe.net.backbone if isinstance(self.recipe, TransferRecipe) else None

    @property
    def left_out(self) -> str:
        """Why it is not trained: a net of the user's has nothing that its tricks could change; ""
        where it is. Builds such a net, once in a process.

        Raises:
            UserError: it cannot be built, or cannot be trained.
        """
        net: Any = self.recipe.net
        if not isinstance(net, ImportedSpec):
            return ""
        try:
            return str(ImportedSpec.check(net, precision=self.recipe.precision))
        except ValueError as error:
            place = "models" if self.group == "tricks" else f"{self.group}.{self.trick}: models"
            reason = printable(" ".join(str(error).split()))
            raise UserError(f"params.yaml: {place}.{self.model}: {reason}") from error


def variants(
    params: Params,
    scale: str | None = None,
    *,
    backbone: str | None = None,
    ablation: bool = False,
) -> dict[str, Variant]:
    """All recipes of the study by key, in the order of the report.

    Args:
        params: the checked parameters.
        scale: a key of ``scales``; the chosen one where None.
        backbone: the one that transfer learning starts from; the first of ``transfer.backbones``
            where None.
        ablation: whether those of ``ablation``, which no stage of dvc.yaml trains, come behind.

    Raises:
        ValueError: a wrong value, with its place; never after :func:`load_params`.
    """
    backbone = backbone or params.transfer.backbones[0]
    scale = scale or params.scale
    found = {variant.key: variant for variant in _expand(params, scale, backbone)}
    if ablation and params.ablation:
        whole = found[f"improve-{params.ablation.recipe}"]
        for key, name, stack, where in ablated(params, scale):
            one = _stacked(params, scale, name, stack, group=GROUP, where=where)
            # What only scoring sees needs no training.
            if key not in found and replace(one.recipe, views=whole.recipe.views) != whole.recipe:
                against = whole.key if key.startswith(GROUP) else None
                found[key] = replace(one, key=key, against=against)
    return found


def planned_variants(
    params: Params, scale: str | None = None, *, ablation: bool = False
) -> dict[str, Variant]:
    """All recipes, that of transfer with the backbone that could be had.

    Args:
        params, scale, ablation: as for :func:`variants`.

    Raises:
        UserError: the file that says which one is damaged.
    """
    return variants(params, scale, backbone=used_backbone(), ablation=ablation)


def trainable_variants(params: Params, *, ablation: bool = False) -> dict[str, Variant]:
    """The same without that of transfer where no backbone could be had."""
    used = used_backbone()
    planned = planned_variants(params, ablation=ablation)
    return {key: one for key, one in planned.items() if one.backbone in (None, used)}


def _expand(params: Params, scale: str, backbone: str) -> Iterator[Variant]:
    yield _single(params, scale, "reference", "baseline", group="reference")
    for model in params.models:
        for trick in params.tricks:
            yield _single(params, scale, model, trick, group="tricks")
    for step in params.improve:
        yield _improved(params, scale, step)
    for step, stack in params.combine.items():
        yield _stacked(params, scale, step, stack, group="combine")
    for name, setting in params.sensitivity.items():
        stack = Stack(**setting.model_dump(), tricks={})
        yield _stacked(params, scale, name, stack, group="sensitivity")
    yield _transfer(params, scale, backbone)


def _single(params: Params, scale: str, model: str, trick: str, *, group: str) -> Variant:
    stack = Stack(model=model, tricks={trick: params.tricks[trick]})
    one = _stacked(params, scale, trick, stack, group=group, where=())
    return replace(one, key=f"{model}-{trick}")


def _stacked(
    params: Params, scale: str, step: str, stack: Stack, *, group: str, where: Keys | None = None
) -> Variant:
    return Variant(
        key=f"{group}-{step}",
        group=group,
        model=stack.model,
        trick=step,
        tricks=tuple(stack.tricks),
        recipe=stacked(params, scale, stack, where=(group, step) if where is None else where),
    )


def _improved(params: Params, scale: str, step: str) -> Variant:
    where = ("improve_at", scale, step) if change_at(params, step, scale) else None
    stack = improve_step(params, step, scale)
    try:
        return _stacked(params, scale, step, stack, group="improve", where=where)
    except ValueError:
        # A mistake of the entry itself is told at its own place.
        _stacked(params, scale, step, params.improve[step], group="improve")
        raise


def _transfer(params: Params, scale: str, backbone: str) -> Variant:
    transfer, classes = params.transfer, len(dataset(params, scale).class_names)
    recipe = TransferRecipe(
        net=BackboneSpec(backbone=backbone, image_size=transfer.image_size, num_classes=classes),
        optimizer=Call("torch.optim.Adam", {"lr": transfer.learning_rate}),
        normalisation=(
            tuple(255 * value for value in IMAGENET_MEAN),
            tuple(255 * value for value in IMAGENET_STD),
        ),
        features=Call("cifar_tricks.features.frozen_features", {"cache_gb": transfer.cache_gb}),
        batch_size=transfer.batch_size,
        **slots(params.scales[scale], protocol(params, scale)),
    )
    check_steps(recipe, "transfer")
    return Variant(
        key=f"transfer-{backbone}",
        group="transfer",
        model=backbone,
        trick="transfer",
        tricks=(),
        recipe=recipe,
    )
