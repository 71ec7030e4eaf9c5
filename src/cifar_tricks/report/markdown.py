"""GitHub-flavoured Markdown from data: whatever a string holds, it stays text.

Strings are escaped unless they are :class:`Markdown`, which only the functions here make; the
templates' environment does it for every expression.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


class Markdown(str):
    """Text that is Markdown already and must not be escaped again."""

    __slots__ = ()


def escape(value: object) -> Markdown:
    """The value as text on one line; None is empty.

    Pipes are left to :func:`table`: they mean something only there.
    """
    if isinstance(value, Markdown):
        return value
    line = " ".join(str("" if value is None else value).split())
    line = re.sub(r"[\\`*_\[\]~$#!]", r"\\\g<0>", line)
    return Markdown(re.sub(r"[&<>@]", lambda match: ENTITIES[match[0]], line))


def bold(value: object) -> Markdown:
    """The value in bold type."""
    return Markdown(f"**{escape(value)}**")


def italic(value: object) -> Markdown:
    """The value in italics."""
    return Markdown(f"*{escape(value)}*")


def code(value: object) -> Markdown:
    """The value as a code span, backticks and all."""
    line = " ".join(str(value).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{pad}{line}{pad}{fence}")


def fenced(text: str) -> Markdown:
    """A block of code, shown as it is."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{fence}\n{text}\n{fence}")


def html(value: object) -> Markdown:
    """The value as text inside an HTML tag, where Markdown is not read."""
    return Markdown(escape_html(" ".join(str(value).split())))


def image(path: str, alt: str) -> Markdown:
    """A picture.

    Args:
        path: relative to the page.
        alt: what it shows, for those who cannot see it.
    """
    return Markdown(f"![{escape(alt)}]({quote(path)})")


def table(header: Sequence[object], rows: Sequence[Sequence[object]], align: str = "") -> Markdown:
    """A table.

    Args:
        header: of each column.
        rows: of cells, as many as the header has.
        align: a letter per column, l or r; the last one holds for all further columns.

    Returns:
        Its lines, without a final newline.
    """
    letters = (align or "l") + (align or "l")[-1] * len(header)
    rule = ["---:" if letter == "r" else "---" for letter in letters[: len(header)]]
    lines = [_row(header), f"|{'|'.join(rule)}|", *(_row(row) for row in rows)]
    return Markdown("\n".join(lines))


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(escape(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def render(template: str, context: dict[str, Any], folder: Path = TEMPLATES) -> str:
    """Fills a template, of this package or of another folder; every expression is escaped, a
    missing name is an error."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        # Escaping is the job of `finalize`: the autoescaping of jinja2 is for HTML.
        autoescape=False,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(code=code, fenced=fenced, html=html)
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(context))
