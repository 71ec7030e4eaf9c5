"""Which columns say what: as named, else found where that is unambiguous."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import choose_from, listed, printable, shorten
from cifar_tricks.judge.table import Column, Table

SEED_NAMES = {"seed", "randomseed", "randomstate", "rngseed", "rng", "trainseed", "seedid"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Columns by their headers; "" where they are to be found.

    Args:
        variant, seed, value: what they hold.
        within: only variants with an equal cell here are compared.
        where: only rows with these cells count.
    """

    variant: str = ""
    seed: str = ""
    value: str = ""
    within: str = ""
    where: Mapping[str, str]


def equal(column: Column, text: str) -> np.ndarray:
    """Which rows have this text, bool."""
    place = list(column.texts).index(text) if text in column.texts else -2
    found: np.ndarray = column.codes == place
    return found


def resolve(table: Table, name: str, option: str) -> str:
    """The header with this name, or with this end after a prefix such as ``params.`` of MLflow or
    ``params.yaml:`` of DVC."""
    if name in table.columns:
        return name
    found = [header for header in table.columns if _last_part(header) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{option} {name}: several columns end so; valid: {listed(found)}")
    raise UserError(f"{option} {name}: no such column; {choose_from(name, table.columns)}")


def _last_part(header: str) -> str:
    return re.split(r"[.:/]", header)[-1]


def seed_column(table: Table, taken: set[str]) -> str:
    """The column that is called seed; "" for none."""
    found = [
        header
        for header in table.columns
        if re.sub("[^a-z]", "", _last_part(header).lower()) in SEED_NAMES and header not in taken
    ]
    if len(found) > 1:
        raise UserError(f"several columns may hold the seed; --seed names one: {listed(found)}")
    return found[0] if found else ""


def variant_column(table: Table, baseline: str, kept: np.ndarray, taken: set[str]) -> str:
    """The column with the baseline among its cells; "" where the baseline is itself a column."""
    others = {name: one for name, one in table.columns.items() if name not in taken}
    found = [name for name, one in others.items() if (equal(one, baseline) & kept).any()]
    if len(found) == 1 and baseline not in others:
        return found[0]
    if not found and baseline in others:
        return ""
    if found and baseline in others:
        raise UserError(f"{table.name}: {shorten(baseline)} is a header and a cell: no header?")
    if found:
        told = f"{shorten(baseline)} is in several columns"
        raise UserError(f"{told}; --variant names one: {listed(found)}")
    if any(equal(one, baseline).any() for one in others.values()):
        raise UserError(f"{table.name}: --where leaves no row with {shorten(baseline)}")
    if used := [name for name, one in table.columns.items() if equal(one, baseline).any()]:
        told = f"{shorten(baseline)} is only in {listed(used)}, which is used otherwise"
        raise UserError(f"{table.name}: {told}; --variant names the column of the variants")
    texts = [text for one in others.values() if len(one.texts) < 1000 for text in one.texts]
    names = dict.fromkeys([*texts, *others])
    numbers = {text for one in others.values() for text in _numeric_texts(one)}
    choice = choose_from(baseline, [printable(name) for name in names if name not in numbers])
    raise UserError(f"no cell and no header is {shorten(baseline)}; for --baseline {choice}")


def _numeric_texts(column: Column) -> Iterable[str]:
    return column.texts if column.share_of_numbers > 0.5 else ()


def value_column(table: Table, given: str, kept: np.ndarray, taken: set[str]) -> str:
    """The column that is named, else the only one with numbers."""
    if given:
        return resolve(table, given, "--value")
    found = [
        name
        for name, one in table.columns.items()
        if name not in taken and one.share_of_numbers > 0.5 and (one.codes[kept] >= 0).any()
    ]
    if len(found) != 1:
        problem = "several columns hold numbers" if found else "no column holds numbers"
        raise UserError(f"{table.name}: {problem}; --value names one: {listed(found)}")
    return found[0]
