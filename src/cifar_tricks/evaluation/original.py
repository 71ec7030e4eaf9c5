"""What the original report printed, to stand beside our own figures."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

# The step that the original report ends with.
ORIGINAL_BEST = "improve-best"

FILE = Path(__file__).with_name("original_report.json")


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def original_result(key: str) -> dict[str, float] | None:
    """The report's single run of a variant, or None where it has none.

    Args:
        key: of the variant, e.g. ``model1-leaky_relu``.

    Returns:
        ``test_accuracy`` and, where printed, ``train_loss``, ``train_accuracy`` and
        ``validation_accuracy``.
    """
    result: dict[str, float] | None = _content()["variants"].get(key)
    return result


def original_claim(key: str) -> str | None:
    """What the report says in words of a setting of its task 3a.

    Args:
        key: of the variant, e.g. ``sensitivity-model1_batch_32``.

    Returns:
        ``worse`` or ``little`` (effect), or None where it says nothing.
    """
    claim: str | None = _content()["claims"].get(key)
    return claim


def original_notes() -> list[str]:
    """Known slips of the report that bear on its figures."""
    notes: list[str] = _content()["notes"]
    return notes
