"""The page's tables: laid out by a template, coloured by the page's style sheet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cifar_tricks.markdown import TEMPLATES

PAGE_TEMPLATES = TEMPLATES / "page"
# A hyphen is too short beside the plus signs above and below it.
HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")


@cache
def environment() -> Environment:
    """Where the page's templates come from; they escape everything but Markup."""
    return Environment(
        loader=FileSystemLoader(PAGE_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def html_table(
    rows: Sequence[Mapping[str, object]],
    *,
    name: str,
    caption: str,
    numbers: Sequence[str] = (),
    sortable: bool = False,
) -> Markup:
    """A table with a caption; cells are escaped unless they are Markup.

    Args:
        rows: cells by the title of their column; all rows have the same columns.
        name: id of the table, unique on the page.
        caption: what it shows.
        numbers: columns to align right, and to sort by value.
        sortable: whether its headers sort it.
    """
    cells = [{title: _cell(cell, title in numbers) for title, cell in row.items()} for row in rows]
    table = environment().get_template("table.html.j2")
    return Markup(
        table.render(rows=cells, name=name, caption=caption, numbers=numbers, sortable=sortable)
    )


def _cell(value: object, is_number: bool) -> Markup:
    text = "" if value is None else str(escape(value))
    return Markup(HYPHEN.sub("\N{MINUS SIGN}", text) if is_number else text)
