"""JSON files that hold the hash of their own content, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any


def differences(found: Any, wanted: Any, where: str = "") -> str:
    """Says in words where two identities differ, "" where they do not.

    Args:
        found: JSON values.
        wanted: JSON values, or what becomes the same as JSON.
        where: the keys that lead here.
    """
    wanted = json.loads(json.dumps(wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = dict.fromkeys([*found, *wanted])
        parts = (
            differences(found.get(key), wanted.get(key), f"{where}.{key}".lstrip("."))
            for key in keys
        )
        return "; ".join(part for part in parts if part)
    return "" if found == wanted else f"{where} = {_short(found)}, here {_short(wanted)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:12] + "..."


# What reading and taking apart a file raises that is damaged, or not of our making.
NOT_WRITTEN_BY_US = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
)


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """The JSON values with the sha256 of all of them."""
    return content | {"sha256": hashlib.sha256(to_json(content)).hexdigest()}


def read_signed(text: bytes) -> dict[str, Any]:
    """The JSON values of :func:`signed`, without their hash.

    Raises:
        one of NOT_WRITTEN_BY_US: they are not what was written.
    """
    content: dict[str, Any] = json.loads(text)
    sha256 = content.pop("sha256")
    if signed(content)["sha256"] != sha256:
        raise ValueError("its content does not match its own hash")
    return content


def to_json(value: object) -> bytes:
    """The value as JSON text with a final newline, keys in their order.

    Raises:
        ValueError: a number is not finite: JSON has none of these.
    """
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def finite(value: float) -> float | None:
    """The value, or None (null in JSON) for NaN and infinity."""
    return value if math.isfinite(value) else None
