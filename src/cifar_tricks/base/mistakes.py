"""How a mistake in params.yaml is told: one line with the key, the value and what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from cifar_tricks.base.wording import choose_from as choose_from
from cifar_tricks.base.wording import printable as printable
from cifar_tricks.base.wording import shorten as shorten

# pydantic puts the tag of a union's member into the place of a mistake, where it means nothing.
UNION_TAGS = ("<own>", "<imported>")


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys, wrong types, NaN and infinity are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key, value in data.items():
                if key not in cls.model_fields:
                    choice = choose_from(key, cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key {key} = {value}; {choice}",
                        {"key": str(key), "value": shorten(value), "choice": choice},
                    )
        return data


S = TypeVar("S", bound=Section)


def section(kind: type[S], values: Mapping[str, Any], where: tuple[str, ...]) -> S:
    """The section with these values.

    Raises:
        ValueError: a wrong one, with its place.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ValueError(explain(error, where=where)) from error


def explain(error: ValidationError, *, where: tuple[str, ...] = ()) -> str:
    """One line for the first mistake: its key, the value and what is valid.

    Args:
        error: what pydantic raised.
        where: keys that lead to the validated section.
    """
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in UNION_TAGS]
    key = ".".join([*where, *place]) or "the file"
    if first["type"] == "unknown_key":
        line = f"{key}: {first['msg']}"
    elif first["type"] == "missing":
        line = f"{key} is missing"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        line = f"{key} = {shorten(first['input'])}: {reason}"
    more = error.error_count() - 1
    return f"{line} (and {more} more)" if more else line


def wrong_name(where: tuple[str, ...], given: str, valid: Mapping[str, Any]) -> str:
    """The message about a name that is none of the valid ones."""
    return f"{'.'.join(where)} = {given}: unknown; {choose_from(given, valid)}"
