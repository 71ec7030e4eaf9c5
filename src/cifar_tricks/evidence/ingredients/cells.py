"""The tables of a recipe's ingredients as plain text, and as a CSV file."""

from __future__ import annotations

import pandas as pd

from cifar_tricks.base.notation import NOTHING
from cifar_tricks.evidence.cells import change_text, comparison_cells, mean_and_spread, number
from cifar_tricks.evidence.comparisons import comparison_row, to_csv
from cifar_tricks.evidence.effects import Effect
from cifar_tricks.evidence.ingredients.read import VIEWS, WITHOUT, Ingredients
from cifar_tricks.evidence.study_results import IN_VIEWS, Result

COMPARED = ("difference", "95% interval", "p (Holm)", "n to resolve")
COLUMNS = (
    *("key", "compared_with", "ingredient", "change", "model", "n", "flaw"),
    *("test_accuracy", "test_accuracy_std", "in_views", "baseline_accuracy"),
    *("difference", "difference_low", "difference_high", "p_value", "p_holm", "seeds_to_resolve"),
)


def changed_rows(found: Ingredients) -> list[dict[str, str]]:
    """The recipe, then it with each change that is on record: cells by title of their column."""
    whole = found.whole
    first = {"ingredient": whole.key, "change": "the whole recipe"} | _accuracies(whole)
    rows = [first | _compared(found, None)]
    for effect in found.changed.effects:
        if effect.result.run is not None:
            row = {"ingredient": ingredient(effect), "change": change(found, effect)}
            rows.append(row | _accuracies(effect.result) | _compared(found, effect))
    return rows


def alone_rows(found: Ingredients) -> list[dict[str, str]]:
    """The baseline of each net, then each trick that is on record on it."""
    rows = []
    for model, family in found.alone.items():
        base = found.study.results[f"{model}-baseline"]
        shown = [(base, None), *((effect.result, effect) for effect in family.effects)]
        for result, effect in shown:
            if result.run is not None:
                row = {"trick": result.variant.trick, "net": model} | _accuracies(result)
                del row["in views"]
                rows.append(row | _compared(found, effect))
    return rows


def ingredient(effect: Effect) -> str:
    """What is left out, or the name of the change."""
    return effect.result.variant.trick.removeprefix(WITHOUT)


def change(found: Ingredients, effect: Effect) -> str:
    """What the recipe or the baseline has otherwise, in words."""
    variant, ablation = effect.result.variant, found.study.params.ablation
    if variant.trick == WITHOUT + VIEWS:
        return "scored without views"
    if ablation is None or variant.against is None or variant.trick not in ablation.changes:
        return "left out" if variant.against else "alone"
    one = ablation.changes[variant.trick]
    parts = [f"without {trick}" for trick in one.without]
    parts += [f"with {trick}" for trick in one.tricks]
    parts += ["trained on the validation images too"] * one.all_images
    return ", ".join([*parts, *(change_text(*pair) for pair in (one.net | one.train).items())])


def _accuracies(result: Result) -> dict[str, str]:
    values, flaw = result.values("test_accuracy"), result.flaw
    return {
        "n": NOTHING if flaw else str(len(values)),
        "test accuracy": flaw or mean_and_spread(values),
        "in views": number(result.mean(IN_VIEWS)),
    }


def _compared(found: Ingredients, effect: Effect | None) -> dict[str, str]:
    if effect is None:
        return dict.fromkeys(COMPARED, "")
    cells = comparison_cells(comparison_row(found.study, effect))
    ours = (cells.difference, cells.interval, cells.p, cells.to_resolve)
    return dict(zip(COMPARED, ours, strict=True))


def ingredients_csv(found: Ingredients | None) -> str:
    """A row per comparison, columns COLUMNS, those without a record among them; only the header
    where nothing is on record. Fractions; empty: what does not exist."""
    return to_csv(pd.DataFrame(_csv_rows(found) if found else [], columns=list(COLUMNS)))


def _csv_rows(found: Ingredients) -> list[dict[str, object]]:
    return [
        comparison_row(found.study, effect)
        | {
            "compared_with": effect.result.variant.base,
            "ingredient": ingredient(effect),
            "change": change(found, effect),
            "in_views": effect.result.mean(IN_VIEWS),
        }
        for family in found.families.values()
        for effect in family.effects
    ]
