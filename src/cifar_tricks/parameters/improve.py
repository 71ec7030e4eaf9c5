"""The entries of ``improve`` at a scale, which may have a smaller net or other values in place."""

from __future__ import annotations

from cifar_tricks.base.mistakes import wrong_name
from cifar_tricks.parameters.schema import Change, Params, Stack


def improve_step(params: Params, step: str, scale: str | None = None) -> Stack:
    """An entry of ``improve``, with what the scale has in place of its values.

    Args:
        params: the parameters.
        step: a key of ``improve``.
        scale: a key of ``scales``; the chosen one where None.
    """
    change = change_at(params, step, scale or params.scale)
    return params.improve[step] if change is None else changed(params.improve[step], change)


def change_at(params: Params, step: str, scale: str) -> Change | None:
    """What the scale has in place of values of an entry of ``improve``; None for nothing."""
    return params.improve_at.get(scale, {}).get(step)


def changed(stack: Stack, change: Change) -> Stack:
    """The list of tricks with a change."""
    kept = {name: numbers for name, numbers in stack.tricks.items() if name not in change.without}
    return Stack(
        model=stack.model,
        tricks=kept | change.tricks,
        net=stack.net | change.net,
        train=stack.train | change.train,
    )


def check_change(change: Change, stack: Stack, where: tuple[str, ...]) -> None:
    """Whether the tricks that it leaves out are in the list.

    Raises:
        ValueError: one is not; the key, the value and what is valid.
    """
    for trick in change.without:
        if trick not in stack.tricks:
            raise ValueError(wrong_name((*where, "without"), trick, stack.tricks))


def check_changes(params: Params) -> None:
    """Whether what scales change is there.

    Raises:
        ValueError: it is not; the key, the value and what is valid.
    """
    for scale, changes in params.improve_at.items():
        if scale not in params.scales:
            raise ValueError(wrong_name(("improve_at",), scale, params.scales))
        for step, change in changes.items():
            where = ("improve_at", scale)
            if step not in params.improve:
                raise ValueError(wrong_name(where, step, params.improve))
            check_change(change, params.improve[step], (*where, step))
