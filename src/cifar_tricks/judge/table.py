"""A table of texts, from a file, from standard input or from any program that prints CSV."""

from __future__ import annotations

import csv
import io
import math
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import printable, shorten

MOST_BYTES = 2**30
DELIMITERS = ",;\t"
# Above, texts that repeat within a column are no longer looked for: it takes time per column.
MANY_COLUMNS = 200
# What programs write where a run has no value; "!" is DVC's.
NO_VALUE = {"", "-", "\N{EM DASH}", "!", "na", "n/a", "null", "none"}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One column.

    Args:
        codes: per row the place of its text, -1 for an empty cell.
        texts: the different texts, without space around them.
    """

    codes: np.ndarray
    texts: Sequence[str]

    @cached_property
    def numbers(self) -> np.ndarray:
        """Per text its number: NaN where it is none, and where it says so."""
        return np.array([_number(text) for text in self.texts], dtype=np.float64)

    @cached_property
    def valueless(self) -> np.ndarray:
        """Whether a text says that there is no value."""
        return np.array([text.lower() in NO_VALUE for text in self.texts], dtype=bool)

    @cached_property
    def wrong(self) -> np.ndarray:
        """Whether a text is neither a number, nor "nan", nor says that there is none."""
        nan = np.array([text.lower().lstrip("+-") == "nan" for text in self.texts], dtype=bool)
        found: np.ndarray = np.isnan(self.numbers) & ~self.valueless & ~nan
        return found

    @cached_property
    def share_of_numbers(self) -> float:
        """Of the cells that say anything."""
        filled = self.codes[self.codes >= 0]
        said = filled[~self.valueless[filled]]
        return float((~self.wrong[said]).mean()) if len(said) else 0.0

    @cached_property
    def commas(self) -> list[str]:
        """Numbers with a decimal comma."""
        numbers = zip(self.texts, self.numbers, strict=True)
        return [text for text, number in numbers if "," in text and not math.isnan(number)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Columns of texts.

    Args:
        name: where it is from, for messages.
        columns: by their headers.
        rows: what to call each row; empty for their numbers, the header being row 1.
    """

    name: str
    columns: dict[str, Column]
    rows: Sequence[str] = ()

    def row(self, index: int) -> str:
        """What to call a row, counted from 0."""
        return self.rows[index] if len(self.rows) else f"row {index + 2}"


def read_table(place: str) -> Table:
    """Reads a table whose cells are separated by commas, semicolons or tabs.

    Args:
        place: a file, or "-" for standard input.

    Raises:
        UserError: it cannot be read, is no text or no table, or has no rows.
    """
    name = "standard input" if place == "-" else place
    data = _read(place)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{name} is UTF-16; valid: UTF-8, as of CSV files")
    if b"\0" in data:
        raise UserError(f"{name} is no text; valid: a table as CSV")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if not data.strip():
        raise UserError(f"{name} is empty; valid: a table with a header and a row for each run")
    header, delimiter = _header(name, data)
    frame = _parse(name, data, delimiter, len(header))
    if frame.empty:
        raise UserError(f"{name} has a header and no rows: {shorten(', '.join(header))}")
    series = [frame.iloc[:, place] for place in range(len(header))]
    columns = [_column(one) for one in series]
    return Table(name=name, columns=dict(zip(header, columns, strict=True)))


def text_table(name: str, rows: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Table:
    """A table from texts in memory; "" is an empty cell."""
    found = {
        title: _column(pd.Series(cells, dtype=object).replace("", None))
        for title, cells in columns.items()
    }
    return Table(name=name, columns=found, rows=rows)


def _read(place: str) -> bytes:
    try:
        if place == "-":
            if sys.stdin.isatty():
                raise UserError("standard input is the keyboard: name a file, or pipe a table in")
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(place).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UserError(f"{place}: there is no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{place} is a folder; valid: a table as CSV") from error
    except (OSError, ValueError) as error:  # the latter: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{printable(place)} cannot be read: {reason}") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{place} is larger than {MOST_BYTES >> 30} GiB: give a part of it")
    return data


def _header(name: str, data: bytes) -> tuple[list[str], str]:
    """The titles of the columns, and what separates cells."""
    start = data[: 2**20].decode(errors="replace")
    line = re.sub('"[^"]*"', "", start.splitlines()[0])
    delimiter = max(DELIMITERS, key=line.count)
    try:
        first = next(csv.reader(io.StringIO(start, newline=None), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"{name} is no table: {error}") from error
    header = [printable(title.strip()) for title in first]
    filled = [title for title in header if title]
    if twice := [title for title in filled if filled.count(title) > 1][:1]:
        raise UserError(f"{name} has two columns {shorten(twice[0])}: rename one")
    return [title or f"column {place + 1}" for place, title in enumerate(header)], delimiter


def _parse(name: str, data: bytes, delimiter: str, width: int) -> pd.DataFrame:
    dtype = "category" if width <= MANY_COLUMNS else "str"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(data),
                sep=delimiter,
                names=list(range(width)),
                header=0,
                dtype=dtype,
                keep_default_na=False,
                na_values=[""],
                index_col=False,
                skip_blank_lines=False,
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{name} is not UTF-8: there is a byte {byte:#04x}") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).replace("Error tokenizing data. C error: ", "")
        if "fields" not in reason and "Length of header" not in reason:
            raise UserError(f"{name} is no table: {' '.join(reason.split())}") from error
        line = re.search(r"line (\d+)", reason)
        where = f"row {line[1]} has" if line else "rows have"
        hint = "; decimal commas? write points, or separate cells by ;" if delimiter == "," else ""
        raise UserError(f"{name}: {where} more cells than the header's {width}{hint}") from error


def _column(series: pd.Series) -> Column:
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, texts = series.cat.codes.to_numpy(), [str(text) for text in series.cat.categories]
    else:
        codes, found = pd.factorize(series)
        texts = [str(text) for text in found]
    stripped, names = pd.factorize(np.array([text.strip() for text in texts], dtype=object))
    places = {number: -1 if not name else number for number, name in enumerate(names)}
    known = np.array([places[number] for number in stripped] + [-1], dtype=np.int64)
    return Column(codes=known[codes], texts=list(names))


def _number(text: str) -> float:
    if DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
