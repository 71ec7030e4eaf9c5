"""The page's tables: great_tables lays them out, the page's style sheet colours them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd
from great_tables import GT
from markupsafe import Markup, escape

# The library's own colours would not follow the page's theme.
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
# A hyphen is too short beside the plus signs above and below it.
HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")
OUTER_STYLE = re.compile(r'(<div id="[^"]*") style="[^"]*"')


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
    columns = [*rows[0]] if rows else []
    # Plain keys: the titles, which may repeat, are put in as labels.
    keys = {f"c{place}": column for place, column in enumerate(columns)}
    frame = pd.DataFrame(
        [
            {key: _cell(row[column], column in numbers) for key, column in keys.items()}
            for row in rows
        ],
        columns=[*keys],
        dtype=str,
    )
    # Its own escaping does not know Markup, so cells come escaped and pass through as they are.
    table = GT(frame, id=name).fmt(lambda cell: cell, columns=[*keys])
    table = table.cols_label(cases={**keys})
    right = [key for key, column in keys.items() if column in numbers]
    table = table.cols_align("left", [*keys]) if keys else table
    table = table.cols_align("right", right) if right else table
    html = OUTER_STYLE.sub(r"\1", STYLE.sub("", table.as_raw_html()), count=1)
    kind = "table sortable" if sortable else "table"
    html = html.replace("<thead>", f"<caption><span>{escape(caption)}</span></caption><thead>", 1)
    # It scrolls by itself where the window is too narrow, with the keyboard too.
    region = f'class="{kind}" role="region" tabindex="0" aria-label="{escape(caption)}"'
    return Markup(f"<div {region}>{html}</div>")


def _cell(value: object, is_number: bool) -> str:
    text = "" if value is None else str(escape(value))
    return HYPHEN.sub("\N{MINUS SIGN}", text) if is_number else text
