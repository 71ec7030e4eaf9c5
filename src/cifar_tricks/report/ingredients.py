"""What the report says of a recipe's ingredients."""

from __future__ import annotations

from cifar_tricks.evidence.cells import change_text
from cifar_tricks.evidence.ingredients.cells import alone_rows, changed_rows
from cifar_tricks.evidence.ingredients.read import Ingredients
from cifar_tricks.parameters.improve import change_at
from cifar_tricks.parameters.protocol import is_small
from cifar_tricks.report.markdown import Markdown, table


def changed_table(found: Ingredients) -> Markdown:
    """The recipe, and it with each change."""
    return _table(changed_rows(found))


def alone_table(found: Ingredients) -> Markdown:
    """Single tricks on the baselines."""
    return _table(alone_rows(found))


def _table(rows: list[dict[str, str]]) -> Markdown:
    return table([*rows[0]], [[*row.values()] for row in rows], "llr")


def training_size(found: Ingredients) -> str:
    """That the trainings are smaller than the recipe's, where they are: how large; else ""."""
    params, step = found.study.params, found.whole.variant.trick
    change = change_at(params, step, params.scale)
    if not (is_small(params) or change):
        return ""
    size = params.scales[params.scale]
    parts = [f"{size.train_images:,} images", f"{size.num_epochs} epochs"]
    if change:
        parts += [change_text(*pair) for pair in (change.net | change.train).items()]
        parts += [f"{trick} with other values" for trick in change.tricks]
    return f"It is a smaller training than the recipe's own: {', '.join(parts)}."
