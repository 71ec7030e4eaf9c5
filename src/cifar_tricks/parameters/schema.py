"""The sections of params.yaml and their valid ranges, and how a mistake is told in one line."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from cifar_tricks.base.mistakes import UNION_TAGS, Section
from cifar_tricks.datasets.catalogue import look
from cifar_tricks.datasets.dataset import Dataset
from cifar_tricks.parameters.imported import ImportedNet

# Names become folders and DVC stage names, and "-" joins a model and a trick to a key.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Pixels = Annotated[int, Field(ge=1, le=64)]
Units = Annotated[int, Field(ge=1, le=65_536)]
Index = Annotated[int, Field(ge=0, lt=65_536)]
SeedNumber = Annotated[int, Field(ge=0, lt=2**63)]
Factors = Annotated[tuple[str, ...], Field(strict=False, min_length=2, max_length=6)]
Precision = Literal["fp32", "tf32", "bf16"]


class Change(Section):
    """Another list of tricks, some left out, others with other numbers or behind the rest; and
    other values of the net and of the protocol."""

    without: Annotated[tuple[str, ...], Field(strict=False)] = ()
    tricks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    net: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)


class Data(Section):
    """Which images: one of :data:`cifar_tricks.datasets.catalogue.NAMED`, or ``folder:PATH``."""

    dataset: Annotated[str, Field(min_length=1)] = "cifar10"

    @cached_property
    def known(self) -> Dataset:
        """What is known of it; raises ValueError where there is no such data set."""
        return look(self.dataset)


class Scale(Section):
    """How much to train: one entry of ``scales``."""

    train_images: Count
    validation_images: Count
    test_images: Count
    num_epochs: Count
    seeds: Annotated[tuple[SeedNumber, ...], Field(strict=False, min_length=1, max_length=1000)]
    precision: Precision
    threads: Annotated[int, Field(ge=1, le=1024)]
    # What its training protocol has in place of values of ``train``.
    train: dict[str, Any] = Field(default_factory=dict)
    # The kind of device that its seeds come from; None: any, and the report names them.
    device: Literal["cpu", "cuda"] | None = None
    # In place of `data`.
    data: Data | None = None
    # Another scale, whose comparisons its report sets beside its own.
    beside: str | None = None


class Train(Section):
    """The training protocol."""

    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    batch_size: Count
    validations_per_epoch: Annotated[int, Field(ge=1, le=1000)]
    # None: validation decides nothing; all epochs are trained and the last weights kept.
    early_stop_count: Annotated[int, Field(ge=1, le=1_000_000)] | None
    schedule: Literal["constant", "linear"] = "constant"


class Net(Section):
    """The part of a :class:`~cifar_tricks.training.recipe.NetSpec` that params.yaml describes."""

    filters: Annotated[tuple[Units, ...], Field(strict=False, min_length=1, max_length=64)]
    kernel_size: Pixels
    stride: Pixels
    padding: Annotated[int, Field(ge=0, le=64)]
    pool: Pixels | None
    pool_every: Annotated[int, Field(ge=1, le=64)] = 1
    hidden: Annotated[tuple[Units, ...], Field(strict=False, max_length=64)]


def _kind(given: Any) -> str:
    """Which kind of net an entry of ``models`` is, as one of UNION_TAGS."""
    imported = isinstance(given, ImportedNet) or (isinstance(given, dict) and "target" in given)
    return UNION_TAGS[1 if imported else 0]


AnyModel = Annotated[
    Annotated[Net, Tag(UNION_TAGS[0])] | Annotated[ImportedNet, Tag(UNION_TAGS[1])],
    Discriminator(_kind),
]


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


class Variation(Change):
    """A change that may also leave no images to validate on: ``all_images`` trains on these too."""

    all_images: bool = False


class WholeFile(Stack):
    """A list of tricks that is trained on the validation images too."""


class Alone(Section):
    """Single tricks, each on the baseline of each of the models."""

    models: Annotated[tuple[str, ...], Field(strict=False)]
    tricks: dict[str, dict[str, Any]]


class Ablation(Section):
    """What the tricks of one entry of ``improve`` are worth: ``recipe`` without each of them, and
    with each of ``changes``; and what tricks are worth ``alone``."""

    recipe: str
    changes: dict[Name, Variation] = Field(default_factory=dict)
    alone: Alone = Alone(models=(), tricks={})


class Transfer(Section):
    """Transfer learning from ImageNet."""

    backbones: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    batch_size: Count
    image_size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)]
    cache_gb: Annotated[float, Field(ge=0, le=10_000)]


class ShownLayers(Section):
    """Which layers of a net are shown: the convolution that sees the image, with the numbers of
    some filters, and a layer with feature maps, with the numbers of some channels."""

    first: Annotated[str, Field(min_length=1)]
    filters: Annotated[tuple[Index, ...], Field(strict=False, min_length=1, max_length=16)]
    last: Annotated[str, Field(min_length=1)]
    channels: Annotated[tuple[Index, ...], Field(strict=False, min_length=1, max_length=64)]


class Visualize(Section):
    """The activation pictures."""

    image: Annotated[str, Field(min_length=1)] = "data/images/photo.jpg"
    layers: dict[str, ShownLayers]


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
    data: Data = Data()
    scales: Annotated[dict[Name, Scale], Field(min_length=1)]
    train: Train
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    reference: Net
    tricks: dict[Name, dict[str, Any]]
    improve: dict[Name, Stack]
    # What scales have in place of values of its entries, such as a smaller net.
    improve_at: dict[str, dict[Name, Change]] = Field(default_factory=dict)
    combine: dict[Name, Stack]
    sensitivity: dict[Name, Setting]
    ablation: Ablation | None = None
    factorial: dict[Name, Factors]
    transfer: Transfer
    visualize: Visualize

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of every variant at the chosen scale."""
        return self.scales[self.scale].seeds
