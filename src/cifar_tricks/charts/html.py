"""What a page of charts and tables is made of, so that it is one file that needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cifar_tricks.charts.vega_lite import STYLE_SHEET

TEMPLATES = Path(__file__).with_name("templates")
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# A hyphen is too short beside the plus signs above and below it.
HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")


@cache
def environment(*folders: Path) -> Environment:
    """Where a page's templates come from; they escape everything but Markup.

    Args:
        folders: with the page's own templates.
    """
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
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


def embed(value: object) -> Markup:
    """The value as JSON that may stand in a script element, whatever its strings hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return Markup("".join(ESCAPES.get(character, character) for character in text))


def shared_files() -> dict[str, Markup]:
    """The style sheet; and Vega, Vega-Lite and Vega-Embed as one script."""
    return {"style": Markup(STYLE_SHEET.read_text()), "vega": _vega()}


@cache  # it takes a second
def _vega() -> Markup:
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for a snippet
    return Markup(bundle.replace("</script", "<\\/script"))
