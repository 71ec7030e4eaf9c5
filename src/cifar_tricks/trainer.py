"""The tensors of a training: what one step and one validation do to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from cifar_tricks.data import TrainingData
from cifar_tricks.evaluation import autocast, loss_and_accuracy, predict
from cifar_tricks.models import build_net
from cifar_tricks.randomness import make_generator
from cifar_tricks.recipe import AnyRecipe


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the learning curves.

    Args:
        step: training steps done.
        epoch: the same in epochs.
        split: train (mean over the batches since the last validation, as they were trained on) or
            validation (the whole split).
        loss: cross-entropy in nats.
        accuracy: in [0, 1].
    """

    step: int
    epoch: float
    split: str
    loss: float
    accuracy: float


@dataclass(kw_only=True)
class Progress:
    """How far a training has come: all of its state but the tensors."""

    step: int = 0
    history: list[Row] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    diverged: bool = False
    stopped: bool = False

    @property
    def validation_losses(self) -> list[float]:
        """All validation losses so far."""
        return [row.loss for row in self.history if row.split == "validation"]


class Trainer:
    """The tensors of a training and what one step, one validation does to them."""

    def __init__(
        self, recipe: AnyRecipe, data: TrainingData, *, seed: int, device: torch.device
    ) -> None:
        self.recipe, self.data, self.seed, self.device = recipe, data, seed, device
        self.progress = Progress()
        self.normaliser: Callable[[Tensor], Tensor] = data.normalisation.to(device)
        self.net = build_net(recipe.net, seed=seed, device=device, backbone=data.backbone)
        # What a batch goes through in a step: the whole net, or the part behind a frozen trunk.
        self.trained = self.net
        if recipe.features is not None:
            self.trained, self.data, self.normaliser = recipe.features(
                self.net, data, self.normaliser, precision=recipe.precision
            )
        trainable = [value for value in self.net.parameters() if value.requires_grad]
        self.optimizer: torch.optim.Optimizer = recipe.optimizer(trainable)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.transform_generator = make_generator(seed, "batch transforms", device)
        self.best = self._copy_weights()
        # Sums of loss and right answers since the last validation; they stay on the device, so
        # that no step waits for the host.
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.steps_per_epoch = recipe.steps_per_epoch
        self.total_steps = recipe.num_epochs * self.steps_per_epoch
        parts = recipe.validations_per_epoch
        self.validation_steps = {
            round(self.steps_per_epoch * part / parts) for part in range(1, parts + 1)
        }
        self.order = torch.empty(0, dtype=torch.int64)
        self.order_epoch = -1

    @property
    def finished(self) -> bool:
        progress = self.progress
        return progress.stopped or progress.diverged or progress.step >= self.total_steps

    @property
    def validation_is_due(self) -> bool:
        return (self.progress.step - 1) % self.steps_per_epoch + 1 in self.validation_steps

    def train_step(self) -> None:
        images, labels = self.data.train.batch(self._next_rows())
        for transform in self.recipe.batch_transforms:
            images, labels = transform(images, labels, generator=self.transform_generator)
        if self.recipe.schedule is not None:
            factor = self.recipe.schedule(self.progress.step / self.total_steps)
            for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
                group["lr"] = rate * factor
        with autocast(self.device, self.recipe.precision):
            logits = self.trained(self.normaliser(images))
        loss = self.recipe.loss(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        # Labels may be class probabilities (B, 10) after a transform such as mixup.
        classes = labels if labels.ndim == 1 else labels.argmax(1)
        right = (logits.detach().argmax(1) == classes).sum()
        self.sums += torch.stack([loss.detach().double(), right / len(images)])
        self.progress.step += 1

    def _next_rows(self) -> Tensor:
        epoch, step = divmod(self.progress.step, self.steps_per_epoch)
        if epoch != self.order_epoch:
            generator = make_generator(self.seed, f"order of epoch {epoch}")
            order = torch.randperm(len(self.data.train), generator=generator)
            self.order, self.order_epoch = order.to(self.device), epoch
        size = self.recipe.batch_size
        return self.order[step * size : (step + 1) * size]

    def validate(self) -> None:
        progress = self.progress
        last = progress.history[-1].step if progress.history else 0
        train_loss, train_accuracy = (self.sums / (progress.step - last)).tolist()
        self.sums.zero_()
        loss, accuracy = self.measure("validation")
        epoch = round(progress.step / self.steps_per_epoch, 4)
        for split, values in (
            ("train", (train_loss, train_accuracy)),
            ("validation", (loss, accuracy)),
        ):
            row = Row(
                step=progress.step, epoch=epoch, split=split, loss=values[0], accuracy=values[1]
            )
            progress.history.append(row)
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
            self.best = self._copy_weights()
        progress.diverged = not (math.isfinite(loss) and math.isfinite(train_loss))
        progress.stopped = stops_early(progress.validation_losses, self.recipe.early_stop_count)

    def measure(self, split: str) -> tuple[float, float]:
        images = self.data.train if split == "train" else self.data.validation
        logits = predict(self.trained, images, self.normaliser, precision=self.recipe.precision)
        return loss_and_accuracy(logits, images.labels)

    def _copy_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def keep_best(self) -> None:
        """Puts the weights with the lowest validation loss back into the net."""
        self.net.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "progress": asdict(self.progress),
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "sums": self.sums,
            "transform_generator": self.transform_generator.get_state(),
            "layer_randomness": torch.get_rng_state(),
            "layer_randomness_cuda": cuda,
        }

    def restore(self, state: dict[str, Any]) -> None:
        progress = dict(state["progress"])
        progress["history"] = [Row(**row) for row in progress["history"]]
        self.progress = Progress(**progress)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        self.sums = state["sums"].to(self.device)
        self.transform_generator.set_state(state["transform_generator"])
        torch.set_rng_state(state["layer_randomness"])
        if state["layer_randomness_cuda"] is not None:
            torch.cuda.set_rng_state(state["layer_randomness_cuda"], self.device)


def stops_early(validation_losses: list[float], count: int) -> bool:
    """Whether the first of the last ``count`` losses is their minimum (the report's rule)."""
    last = validation_losses[-count:]
    return len(last) == count and count > 1 and last[0] == min(last)
