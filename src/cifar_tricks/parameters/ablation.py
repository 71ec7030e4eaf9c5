"""What the tricks of a recipe are worth: it without each of them, and each of them alone.

No stage of dvc.yaml trains these variants: there are more of them than all others together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cifar_tricks.base.mistakes import wrong_name
from cifar_tricks.parameters.improve import change_at, changed, check_change, improve_step
from cifar_tricks.parameters.schema import Change, Params, Stack, WholeFile

GROUP = "ablation"


def ablated(params: Params, scale: str) -> Iterator[tuple[str, str, Stack, tuple[str, ...]]]:
    """Key, name and list of tricks of each variant of ``ablation`` at a scale, and the keys that
    lead to the list; :func:`check_ablation` has checked what they name."""
    if (ablation := params.ablation) is None:
        return
    whole = improve_step(params, ablation.recipe, scale)
    for trick in whole.tricks:
        name, where = f"without_{trick}", ("improve", ablation.recipe)
        yield f"{GROUP}-{name}", name, changed(whole, Change(without=(trick,))), where
    for name, change in ablation.changes.items():
        stack = changed(whole, change)
        if change.all_images:
            stack = WholeFile(**stack.model_dump())
        yield f"{GROUP}-{name}", name, stack, (GROUP, "changes", name)
    for model in ablation.alone.models:
        for trick, values in ablation.alone.tricks.items():
            stack = Stack(model=model, tricks={trick: values})
            yield f"{model}-{trick}", trick, stack, (GROUP, "alone")


def lists_of_tricks(params: Params, scale: str) -> Iterator[tuple[Stack, tuple[str, ...]]]:
    """The lists of ``improve``, ``combine`` and ``ablation`` at a scale, and the keys that lead to
    each."""
    for step in params.improve:
        change = change_at(params, step, scale)
        other = change is not None and (change.tricks or change.without)
        at = ("improve_at", scale) if other else ("improve",)
        yield improve_step(params, step, scale), (*at, step)
    for step, stack in params.combine.items():
        yield stack, ("combine", step)
    for _, _, stack, where in ablated(params, scale):
        yield stack, where


def spelled_out(keys: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    """The keys of variants; in place of ``ablation`` those of all that this section names, behind
    what they are compared with.

    Args:
        keys: of variants, or ``ablation``.
        known: all variants by key.
    """
    ours = {key: one.base for key, one in known.items() if one.group == GROUP}
    whole = list(dict.fromkeys([*ours.values(), *ours]))
    return [key for given in keys for key in (whole if whole and given == GROUP else [given])]


def check_ablation(params: Params) -> None:
    """Whether what it names is there.

    Raises:
        ValueError: it is not; the key, the value and what is valid.
    """
    if (ablation := params.ablation) is None:
        return
    if ablation.recipe not in params.improve:
        raise ValueError(wrong_name((GROUP, "recipe"), ablation.recipe, params.improve))
    for model in ablation.alone.models:
        if model not in params.models:
            raise ValueError(wrong_name((GROUP, "alone", "models"), model, params.models))
    for name, change in ablation.changes.items():
        check_change(change, params.improve[ablation.recipe], (GROUP, "changes", name))
