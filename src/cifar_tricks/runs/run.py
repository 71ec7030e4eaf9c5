"""What came of the trainings of a variant: the content of its ``run.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cifar_tricks.parameters.variants import VariantNames


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a seed was trained.

    Args:
        device: cpu or cuda.
        device_name: the model of the processor or GPU.
        torch: version of PyTorch.
        engine: :data:`cifar_tricks.training.loop.ENGINE`.
        code: sha256 over the source of every module of this package that the training loaded.
        recorded: whether the result came from ``records``, without its weights.
        seconds: wall time of a recorded result, where it is known; of what was trained here it
            stands in no output, since it differs each time.
    """

    device: str
    device_name: str
    torch: str
    engine: int
    code: str
    recorded: bool = False
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """How one training ended.

    Args:
        status: finished (all epochs), stopped early, or diverged (a loss was not finite).
        steps: training steps done.
        best_step: after which the kept weights were reached; 0 where none was better than chance.
        train_loss: of the kept weights over all training images, in nats; None if not finite.
        train_accuracy: likewise, in [0, 1].
        validation_loss: of the kept weights over the validation split; None if not finite, or
            where there is none.
        validation_accuracy: likewise.
        mean: channel means that the images are normalised with, in pixel values 0 to 255.
        std: channel standard deviations, likewise.
        weights_sha256: content hash of model.safetensors.
        history_sha256: of the bytes of history.csv.
        origin: where it was trained.
    """

    status: str
    steps: int
    best_step: int
    train_loss: float | None
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_sha256: str
    history_sha256: str
    origin: Origin

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SeedResult:
        """What ``asdict`` made of it, after JSON.

        Raises:
            TypeError, KeyError: it is not.
        """
        changed = {name: tuple(content[name]) for name in ("mean", "std")}
        return cls(**{**content, **changed, "origin": Origin(**content["origin"])})


@dataclass(frozen=True, kw_only=True)
class Run(VariantNames):
    """The content of a ``run.json``.

    Args:
        scale: a key of ``scales`` in params.yaml.
        key: of the variant.
        group: reference, tricks, improve, combine, sensitivity or transfer.
        model: key of ``models``, or ``reference``; of ``transfer``, the backbone.
        trick: name of the trick or of the step.
        tricks: names of all tricks applied.
        recipe: the resolved recipe, as JSON values.
        num_parameters: trainable values of the net.
        steps_per_epoch: whole batches in the training images.
        data: content hashes of the training file, and of its copies and of the backbone's weights
            where they were used.
        seeds: the results by seed, in the order of params.yaml; at least one.
    """

    scale: str
    key: str
    group: str
    model: str
    trick: str
    tricks: tuple[str, ...]
    recipe: dict[str, Any]
    num_parameters: int
    steps_per_epoch: int
    data: dict[str, str]
    seeds: dict[int, SeedResult]

    @property
    def origins(self) -> list[Origin]:
        """The different places where its seeds were trained, whatever is on record of them."""
        origins = (result.origin for result in self.seeds.values())
        places = (replace(origin, recorded=False, seconds=None) for origin in origins)
        return list(dict.fromkeys(places))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Run:
        """What ``asdict`` made of it, after JSON.

        Raises:
            TypeError, KeyError, ValueError, AttributeError: it is not.
        """
        seeds = {
            int(seed): SeedResult.from_json(result) for seed, result in content["seeds"].items()
        }
        return cls(**{**content, "tricks": tuple(content["tricks"]), "seeds": seeds})
