"""The runs of a table that has a row for each, or a column for each variant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import choose_from, listed, printable, shorten
from cifar_tricks.judge.columns import (
    Choice,
    equal,
    resolve,
    seed_column,
    value_column,
    variant_column,
)
from cifar_tricks.judge.table import Column, Table

# What `dvc exp show --csv` prints first; one of its rows is the workspace, a copy of another.
DVC_COLUMNS = ("Experiment", "rev", "typ", "Created", "parent", "State", "Executor")
MOST_VARIANTS = 100_000
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
COMMAS_READ = "decimal commas are read as points"


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Runs with a value each.

    Args:
        table: a row for each: codes ``block``, ``variant`` and ``seed`` (-1 for none), ``value``
            (not finite where it diverged), and ``row`` of the source.
        blocks, variants: what the codes stand for.
        names: of the columns that were used.
        source: where they are from.
        notes: what was left out.
    """

    table: pd.DataFrame
    blocks: Sequence[str]
    variants: Sequence[str]
    names: Choice
    source: Table
    notes: list[str]


def find_runs(table: Table, choice: Choice, baseline: str) -> Runs:
    """Takes the runs from a table with a row for each, or with a column for each variant.

    Args:
        table: the texts.
        choice: what the user named.
        baseline: name of the variant that the others are compared with.

    Raises:
        UserError: a column is not there, or not to be told from others, or holds texts.
    """
    kept, notes = _kept_rows(table, choice)
    taken = {resolve(table, name, "--where") for name in choice.where}
    taken |= {*DVC_COLUMNS} if is_dvc(table) else set()
    within = resolve(table, choice.within, "--within") if choice.within else ""
    seed = resolve(table, choice.seed, "--seed") if choice.seed else seed_column(table, taken)
    taken |= {seed, within}
    if choice.variant:
        variant = resolve(table, choice.variant, "--variant")
    else:
        given = {resolve(table, choice.value, "--value")} if choice.value else set()
        variant = variant_column(table, baseline, kept, taken | given)
    names = Choice(variant=variant, seed=seed, value="", within=within, where=choice.where)
    if variant:
        return _long(table, choice, names, kept, notes, taken | {variant})
    if choice.value:
        raise UserError(
            f"--value {choice.value}: {baseline} is a column, so each variant is one; "
            f"no such option then, or name --variant COLUMN"
        )
    return _wide(table, names, kept, notes, taken)


def is_dvc(table: Table) -> bool:
    """Whether it is of ``dvc exp show --csv``."""
    return {*DVC_COLUMNS[:3]} <= table.columns.keys()


def _kept_rows(table: Table, choice: Choice) -> tuple[np.ndarray, list[str]]:
    kept, notes = np.ones(len(next(iter(table.columns.values())).codes), dtype=bool), []
    if is_dvc(table):
        workspace = equal(table.columns["rev"], "workspace")
        kept &= ~workspace
        if workspace.any():
            notes.append("DVC's row of the workspace is left out: it repeats another")
    for name, value in choice.where.items():
        column = table.columns[resolve(table, name, "--where")]
        if value not in column.texts:
            raise UserError(f"--where {name}={value}: no row; {choose_from(value, column.texts)}")
        kept &= equal(column, value)
    if not kept.any():
        raise UserError(f"{table.name}: no row is left")
    return kept, notes


def _long(
    table: Table,
    choice: Choice,
    names: Choice,
    kept: np.ndarray,
    notes: list[str],
    taken: set[str],
) -> Runs:
    value = value_column(table, choice.value, kept, taken)
    roles = [name for name in (names.variant, names.seed, names.within, value) if name]
    if twice := [name for name in roles if roles.count(name) > 1]:
        raise UserError(f"{table.name}: column {printable(twice[0])} cannot be two things at once")
    variant, column = table.columns[names.variant], table.columns[value]
    if len(variant.texts) > MOST_VARIANTS:
        raise UserError(
            f"column {names.variant} holds {len(variant.texts):,} different texts, and at most "
            f"{MOST_VARIANTS:,} variants are compared: is it the right one?"
        )
    block = table.columns[names.within] if names.within else None
    frame = pd.DataFrame({"variant": variant.codes, "row": np.arange(len(kept))})
    frame["block"] = block.codes if block else 0
    frame["seed"] = table.columns[names.seed].codes if names.seed else -1
    frame["value"] = _values(table, value, kept, notes)
    filled = kept & _has_value(column)
    named = ((frame["variant"] >= 0) & (frame["block"] >= 0)).to_numpy()
    for missing, what in ((kept & ~filled, value), (filled & ~named, "a name of the variant")):
        if count := int(missing.sum()):
            rows = "row" if count == 1 else "rows"
            notes.append(f"left out: {count:,} {rows} without {printable(what)}")
    names = replace(names, value=value)
    blocks = block.texts if block else [""]
    return _runs(table, frame[filled & named], blocks, variant.texts, names, notes)


def _has_value(column: Column) -> np.ndarray:
    found: np.ndarray = ~np.append(column.valueless, True)[column.codes]
    return found


def _wide(table: Table, names: Choice, kept: np.ndarray, notes: list[str], taken: set[str]) -> Runs:
    others = {name: one for name, one in table.columns.items() if name not in taken}
    variants = [name for name, one in others.items() if one.share_of_numbers > 0]
    if left := [name for name in others if name not in variants]:
        notes.append(f"left out: columns without numbers ({listed(left)})")
    if not variants:
        raise UserError(f"{table.name}: no column holds numbers")
    rows = np.flatnonzero(kept)
    seeds = table.columns[names.seed].codes[rows] if names.seed else np.full(len(rows), -1)
    blocks = table.columns[names.within] if names.within else None
    parts = []
    for place, name in enumerate(variants):
        column = others[name]
        filled = _has_value(column)[rows]
        values = _values(table, name, kept, notes)[rows[filled]]
        parts.append((np.full(len(values), place), seeds[filled], rows[filled], values))
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    frame = pd.DataFrame(dict(zip(("variant", "seed", "row", "value"), columns, strict=True)))
    frame["block"] = blocks.codes[frame["row"]] if blocks else 0
    frame = frame[frame["block"] >= 0]
    return _runs(table, frame, blocks.texts if blocks else [""], variants, names, notes)


def _runs(
    table: Table,
    frame: pd.DataFrame,
    blocks: Sequence[str],
    variants: Sequence[str],
    names: Choice,
    notes: list[str],
) -> Runs:
    if frame.empty:
        raise UserError(f"{table.name}: no row has a value")
    _refuse_twins(table, frame, variants, names)
    return Runs(
        table=frame, blocks=blocks, variants=variants, names=names, source=table, notes=notes
    )


def _refuse_twins(
    table: Table, frame: pd.DataFrame, variants: Sequence[str], names: Choice
) -> None:
    one = ["block", "variant", "seed"]
    seeded = frame[frame["seed"] >= 0]
    twins = seeded[seeded.duplicated(one, keep=False)]
    if twins.empty:
        return
    first = twins[(twins[one] == twins[one].iloc[0]).all(axis=1)]
    rows = " and ".join(table.row(int(row)) for row in first["row"].iloc[:2])
    seed = table.columns[names.seed].texts[int(first["seed"].iloc[0])]
    variant = printable(variants[int(first["variant"].iloc[0])])
    raise UserError(
        f"{table.name}: {variant} has seed {printable(seed)} twice ({rows}); "
        "--where COLUMN=VALUE chooses rows, --within COLUMN tells data sets or nets apart"
    )


def _values(table: Table, name: str, kept: np.ndarray, notes: list[str]) -> np.ndarray:
    """The numbers of a column, row by row; NaN for empty cells."""
    column = table.columns[name]
    if len(column.texts) and (wrong := column.wrong).any():
        rows = np.flatnonzero(kept & (column.codes >= 0) & wrong[column.codes])
        if len(rows):
            text = shorten(column.texts[column.codes[rows[0]]])
            more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            where = f"{table.name}, {table.row(int(rows[0]))}, column {printable(name)}"
            raise UserError(f"{where}: {text} is no number{more}")
    if column.commas and all(map(THOUSANDS.fullmatch, column.commas)):
        text = column.commas[0]
        raise UserError(f"{table.name}, column {name}: {text} may be thousands; write a point")
    if column.commas and COMMAS_READ not in notes:
        notes.append(COMMAS_READ)
    numbers: np.ndarray = np.append(column.numbers, np.nan)[column.codes]
    return numbers
