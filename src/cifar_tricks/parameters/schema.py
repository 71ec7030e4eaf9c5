"""The sections of params.yaml and their valid ranges, and how a mistake is told in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError


def choose_from(given: object, valid: Iterable[str]) -> str:
    """Ends a message about a wrong name: the closest valid one, if any, and all valid ones."""
    names = list(valid)
    close = get_close_matches(str(given), names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}valid: {', '.join(names) or 'none'}"


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


def shorten(value: object, limit: int = 60) -> str:
    """The value as Python would print it, on one line and cut to ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    """The text with line ends and other invisible characters written out: keys may hold any."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def explain(error: ValidationError, *, where: tuple[str, ...] = ()) -> str:
    """One line for the first mistake: its key, the value and what is valid.

    Args:
        error: what pydantic raised.
        where: keys that lead to the validated section.
    """
    first = error.errors()[0]
    key = ".".join([*where, *(str(part) for part in first["loc"])]) or "the file"
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


# Names become folders and DVC stage names, and "-" joins a model and a trick to a key.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Pixels = Annotated[int, Field(ge=1, le=64)]
Units = Annotated[int, Field(ge=1, le=65_536)]
Index = Annotated[int, Field(ge=0, lt=65_536)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Factors = Annotated[tuple[str, ...], Field(strict=False, min_length=2, max_length=6)]
Precision = Literal["fp32", "tf32", "bf16"]


class Scale(Section):
    """How much to train: one entry of ``scales``."""

    train_images: Count
    validation_images: Count
    test_images: Count
    num_epochs: Count
    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1, max_length=1000)]
    precision: Precision
    threads: Annotated[int, Field(ge=1, le=1024)]


class Train(Section):
    """The training protocol."""

    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    batch_size: Count
    validations_per_epoch: Annotated[int, Field(ge=1, le=1000)]
    early_stop_count: Annotated[int, Field(ge=1, le=1_000_000)]


class Net(Section):
    """The part of a :class:`~cifar_tricks.recipe.NetSpec` that params.yaml describes."""

    filters: Annotated[tuple[Units, ...], Field(strict=False, min_length=1, max_length=64)]
    kernel_size: Pixels
    stride: Pixels
    padding: Annotated[int, Field(ge=0, le=64)]
    pool: Pixels | None
    pool_every: Annotated[int, Field(ge=1, le=64)] = 1
    hidden: Annotated[tuple[Units, ...], Field(strict=False, max_length=64)]


class Setting(Section):
    """A change of single values of a model and of the protocol: one entry of ``sensitivity``."""

    model: str
    net: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)


class Stack(Setting):
    """A list of tricks on one net: one entry of ``improve`` or ``combine``.

    ``tricks`` maps each trick to its numbers, applied in this order.
    """

    tricks: dict[str, dict[str, Any]]


class Transfer(Section):
    """Transfer learning from ImageNet."""

    backbones: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    batch_size: Count
    image_size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)]
    cache_gb: Annotated[float, Field(ge=0, le=10_000)]


class Layers(Section):
    """Which layers of a backbone are shown, and what of them."""

    first: Annotated[str, Field(min_length=1)]
    filters: Annotated[tuple[Index, ...], Field(strict=False, min_length=1, max_length=16)]
    last: Annotated[str, Field(min_length=1)]
    channels: Annotated[tuple[Index, ...], Field(strict=False, min_length=1, max_length=64)]


class Visualize(Section):
    """The activation pictures."""

    image: Annotated[str, Field(min_length=1)] = "data/images/photo.jpg"
    layers: dict[str, Layers]


class Gpu(Section):
    """How trainings use a GPU; changes no result."""

    graphs: bool = True
    seeds_at_once: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"


class Params(Section):
    """The whole of params.yaml."""

    scale: str
    model: str
    trick: str
    device: Literal["auto", "cpu", "cuda"]
    gpu: Gpu = Gpu()
    records: Literal["use", "ignore"]
    scales: Annotated[dict[Name, Scale], Field(min_length=1)]
    train: Train
    models: Annotated[dict[Name, Net], Field(min_length=1)]
    reference: Net
    tricks: dict[Name, dict[str, Any]]
    improve: dict[Name, Stack]
    combine: dict[Name, Stack]
    sensitivity: dict[Name, Setting]
    factorial: dict[Name, Factors]
    transfer: Transfer
    visualize: Visualize

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of every variant at the chosen scale."""
        return self.scales[self.scale].seeds
