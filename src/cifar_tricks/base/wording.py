"""Names and values as they stand in a message of one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_NAMES = 60  # that a message lists
LATEX = {ord(char): f"\\{char}" for char in "&%$#_{}"}
NAMES = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater"}
LATEX |= {ord(char): f"\\text{name}{{}}" for char, name in NAMES.items()}


def choose_from(given: object, valid: Iterable[str]) -> str:
    """Ends a message about a wrong name: the closest valid one, if any, and the valid ones."""
    names = list(valid)
    close = get_close_matches(str(given), names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}valid: {listed(names)}"


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """The names, of many the first.

    Args:
        names: of whatever.
        most: how many are listed.
    """
    more = len(names) - most
    text = ", ".join(names[:most]) or "none"
    return f"{text} and {more:,} more" if more > 0 else text


def shorten(value: object, limit: int = 60) -> str:
    """The value as Python would print it, on one line and cut to ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    """The text with line ends and other invisible characters written out: keys may hold any."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def in_latex(text: str) -> str:
    """The text with what LaTeX would read escaped."""
    return printable(text).translate(LATEX)
