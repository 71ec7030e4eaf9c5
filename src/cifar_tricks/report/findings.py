"""What the committed reports say, as the words and numbers of a page's sentences.

A page's template asks a scale: ``scale("full").effect("model2-adam")``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd
from scipy import stats

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.notation import NOTHING, Notation
from cifar_tricks.evidence.cells import comparison_cells, mean_and_spread, number
from cifar_tricks.evidence.statistics import ALPHA, CONFIDENCE, summarise
from cifar_tricks.report.markdown import Markdown, code, table

IN_A_SENTENCE = Notation(digits=3, bounds="[{}, {}]")


class Findings:
    """The results of one scale, from ``reports/<scale>`` and ``records/<scale>``.

    Args:
        scale: a key of ``scales`` in params.yaml.
    """

    def __init__(self, scale: str) -> None:
        self.scale = scale

    def _read(self, name: str) -> pd.DataFrame:
        path = Path("reports") / self.scale / name
        try:
            return pd.read_csv(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: dvc repro report writes it") from error

    @cached_property
    def comparisons(self) -> dict[str, Mapping[str, Any]]:
        """The rows of ``comparisons.csv`` that have a result, by key."""
        rows = self._read("comparisons.csv")
        return {row["key"]: row for row in rows[rows["difference"].notna()].to_dict("records")}

    @cached_property
    def accuracies(self) -> dict[str, list[float]]:
        """Test accuracies of the variants that have any, a number per seed."""
        return self._by_seed("test_accuracy")

    @cached_property
    def pairs(self) -> dict[str, list[float]]:
        """Differences from the baseline of the same seed, likewise."""
        return self._by_seed("difference")

    def _seeds(self, key: str, column: str = "test_accuracy") -> pd.Series:
        rows = self._read("results.csv")
        return rows[rows["key"] == key].set_index("seed")[column]

    def _by_seed(self, column: str) -> dict[str, list[float]]:
        rows = self._read("results.csv").dropna(subset=column)
        return {str(key): [*runs[column]] for key, runs in rows.groupby("key", sort=False)}

    def tricks(self, model: str = "") -> list[Mapping[str, Any]]:
        """The comparisons of one trick with a baseline, of one net or of all."""
        rows = self.comparisons.values()
        return [r for r in rows if r["group"] == "tricks" and model in ("", r["model"])]

    def n(self, key: str) -> int:
        """How many seeds have a test accuracy."""
        return len(self.accuracies.get(key, ()))

    def accuracy(self, key: str) -> str:
        """Mean test accuracy, with the deviation between seeds."""
        return mean_and_spread(self.accuracies[key]) if self.n(key) else NOTHING

    def in_views(self, key: str) -> str:
        """The same by the mean answer to several views of each image, where the recipe has any."""
        metrics = json.loads((Path("reports") / self.scale / "metrics.json").read_bytes())
        found = metrics["variants"].get(key, {}).get("augmented_test_accuracy")
        return mean_and_spread(found["values"]) if found else NOTHING

    def change(self, key: str) -> Markdown:
        """Mean difference from the baseline of the same net, over the pairs of seeds."""
        return _change(self.pairs.get(key, []))

    def effect(self, key: str) -> Markdown:
        """The same with its interval."""
        return _effect(self.pairs.get(key, []))

    def between(self, key: str, other: str) -> Markdown:
        """Mean difference of a variant from another one, of any net, likewise."""
        return _effect([*(self._seeds(key) - self._seeds(other)).dropna()])

    def beyond(self, stack: str, *tricks: str) -> Markdown:
        """By how much a stack's gain exceeds the sum of its tricks' gains, likewise."""
        parts = sum(self._seeds(key, "difference") for key in tricks)
        return _effect([*(self._seeds(stack, "difference") - parts).dropna()])

    def resolved(self, model: str, sign: int) -> str:
        """The tricks whose difference has the sign and a p-value, after Holm, of at most 0.05."""
        rows = [row for row in self.tricks(model) if direction(row) == sign]
        return listed(f"{code(row['trick'])} ({self.change(row['key'])})" for row in rows)

    def settings(self) -> Markdown:
        """The settings of task 3a, a row for each: what changes, and whether it is resolved."""
        rows = [row for row in self.comparisons.values() if row["group"] == "sensitivity"]
        cells = [
            [code(row["key"].partition("-")[2]), str(row["n"]), self.effect(row["key"]),
             IN_A_SENTENCE.p_value(row["p_holm"]), row["claim"], row["verdict"]]
            for row in rows
        ]  # fmt: skip
        header = ["setting", "n", "difference", "p (Holm)", "the original", "verdict"]
        return table(header, cells, "lrrrl")

    def open(self, model: str) -> str:
        """The tricks whose sign is not resolved, with how many seeds each might take."""
        rows = [row for row in self.tricks(model) if not direction(row)]
        needed = [comparison_cells(row).to_resolve for row in rows]
        pairs = zip(rows, needed, strict=True)
        return listed(f"{code(row['trick'])} ({count})" for row, count in pairs)

    def deviation(self, model: str) -> str:
        """Standard deviation between seeds in points: the median over the net's variants."""
        return _points(row["test_accuracy_std"] for row in self.tricks(model))

    def half_interval(self, model: str) -> str:
        """Half of the interval of a difference in points: the median over the net's tricks."""
        rows = self.tricks(model)
        return _points((row["difference_high"] - row["difference_low"]) / 2 for row in rows)

    def after(self, key: str, epochs: float) -> Markdown:
        """Difference in validation accuracy from the baseline after so many of its epochs."""
        rows = self._read("budget.csv")
        found = rows[(rows["key"] == key) & (rows["epoch"] == epochs)]["difference"]
        return Markdown(IN_A_SENTENCE.signed(found.iloc[0] if len(found) else None))

    def passing(self, key: str, goal: float) -> Markdown:
        """How many seeds reach a test accuracy, with Clopper's and Pearson's interval."""
        values = self.accuracies.get(key)
        if not values:
            return Markdown(NOTHING)
        count = sum(value >= goal for value in values)
        bounds = stats.binomtest(count, len(values)).proportion_ci(CONFIDENCE)
        return Markdown(f"{count} of {len(values)} [{bounds.low:.2f}, {bounds.high:.2f}]")

    def ingredients(self) -> Markdown:
        """A row per ingredient of a recipe that is on record; empty for none."""
        cells = []
        for row in self._ingredients():
            bounds = IN_A_SENTENCE.interval(row["difference_low"], row["difference_high"])
            place = f"alone on {row['model']}" if row["change"] == "alone" else row["change"]
            effect = Markdown(f"{IN_A_SENTENCE.signed(row['difference'])} {bounds}")
            p = IN_A_SENTENCE.p_value(row["p_holm"])
            reached = [number(row[name]) for name in ("test_accuracy", "in_views")]
            cells.append([code(row["ingredient"]), place, str(row["n"]), *reached, effect, p])
        header = ["ingredient", "change", "n", "test accuracy", "in views", "difference"]
        header.append("p (Holm)")
        return table(header, cells, "llr") if cells else Markdown()

    def ingredients_that(self, sign: int, change: str, model: str) -> str:
        """Those whose change, ``left out`` or ``alone``, has this sign on a net; 0 for not
        resolved."""
        of = (change, model)
        rows = [row for row in self._ingredients() if (row["change"], row["model"]) == of]
        return listed(code(row["ingredient"]) for row in rows if direction(row) == sign)

    def _ingredients(self) -> list[dict[str, Any]]:
        if not (Path("reports") / self.scale / "ingredients.csv").exists():
            return []
        rows = self._read("ingredients.csv")
        known = rows.astype(object).where(rows.notna(), None)
        return [*map(dict, known[rows["difference"].notna()].to_dict("records"))]

    def cost(self) -> tuple[int, float]:
        """Trainings on record, and the hours that they took one after the other."""
        runs = [
            json.loads(file.read_bytes())["run"]
            for file in sorted(Path("records", self.scale).glob("*/*.json"))
        ]
        ends = [end for run in runs for end in run["seeds"].values()]
        return len(ends), sum(end["origin"]["seconds"] for end in ends) / 3600


def _change(pairs: list[float]) -> Markdown:
    return Markdown(IN_A_SENTENCE.signed(fmean(pairs) if pairs else None))


def _effect(pairs: list[float]) -> Markdown:
    bounds = summarise(pairs).interval if pairs else None
    shown = f" {IN_A_SENTENCE.interval(bounds.low, bounds.high)}" if bounds else ""
    return Markdown(f"{_change(pairs)}{shown}")


def _points(values: Iterable[float]) -> str:
    found = [*values]
    return f"{100 * median(found):.2f}" if found else NOTHING


def listed(items: Iterable[str]) -> Markdown:
    """One, two and three; "none" for nothing."""
    parts = [*items]
    if len(parts) < 2:
        return Markdown(parts[0] if parts else "none")
    return Markdown(f"{', '.join(parts[:-1])} and {parts[-1]}")


def direction(row: Mapping[str, Any]) -> int:
    """The difference's sign where it is resolved, else 0; p may be no number, or None."""
    resolved = row["p_holm"] is not None and row["p_holm"] <= ALPHA
    return (1 if row["difference"] > 0 else -1) if resolved else 0
