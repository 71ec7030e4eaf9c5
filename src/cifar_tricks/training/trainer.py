"""The tensors of a training: what one step and one validation do to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from cifar_tricks.training import optimizers
from cifar_tricks.training.augmentation import mirror
from cifar_tricks.training.images import Batches, TrainingData
from cifar_tricks.training.nets import ConvNet, HalfCopy, build_net
from cifar_tricks.training.predicting import autocast, loss_and_accuracy, predict
from cifar_tricks.training.progress import CurveRow, Progress, stops_early
from cifar_tricks.training.randomness import EpochOrder, LayerRandomness, make_generator
from cifar_tricks.training.recipe import AnyRecipe
from cifar_tricks.training.streams import Step, Stream, open_stream

# Steps that run as they are before one is recorded: they allocate the optimizer's state and let
# the libraries choose their kernels.
STEPS_BEFORE_RECORDING = 3


class Trainer:
    """A training's tensors. Its methods are called within :meth:`turn`.

    Args:
        recipe: what to train and how.
        data: the images of this seed, on ``device``.
        seed: every random number of the run derives from it.
        device: where the net lives.
        stream: where the work is queued; None opens one for the device.
    """

    def __init__(
        self,
        recipe: AnyRecipe,
        data: TrainingData,
        *,
        seed: int,
        device: torch.device,
        stream: Stream | None = None,
    ) -> None:
        self.recipe, self.data, self.seed, self.device = recipe, data, seed, device
        self.stream = stream or open_stream(device)
        self.layer_randomness = LayerRandomness(seed, device)
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
        casts = recipe.precision == "bf16" and isinstance(self.trained, ConvNet)
        self.half = HalfCopy(self.trained) if casts else None
        self.stepped = self.half.net if self.half else self.trained
        self.with_gradient = [v for v in self.stepped.parameters() if v.requires_grad]
        optimizers.leave_compiler_out()
        self.optimizer: torch.optim.Optimizer = recipe.optimizer(trainable)
        self.optimizer_step = optimizers.bare_step(self.optimizer)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        replays = self.stream.replays and getattr(recipe.net, "replays", True)
        replays = replays and optimizers.can_replay(self.optimizer, self.data.train)
        if replays:
            optimizers.make_replayable(self.optimizer, device)
        self.steps_before_recording = STEPS_BEFORE_RECORDING if replays else math.inf
        # None until it is recorded: the bound method would keep a finished training in memory.
        self.recorded: Step | None = None
        self.transform_generator = make_generator(seed, "batch transforms", device)
        self.slow = optimizers.SlowWeights(self.net, recipe.slow_weights)
        self.best = self._copy_weights()
        # Sums of loss and right answers since the last validation; they stay on the device, so
        # that no step waits for the host.
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.measured = torch.zeros(2, dtype=torch.float64, device=device)
        self.steps_per_epoch = recipe.steps_per_epoch
        self.total_steps = recipe.num_epochs * self.steps_per_epoch
        parts = recipe.validations_per_epoch
        self.validation_steps = {
            round(self.steps_per_epoch * part / parts) for part in range(1, parts + 1)
        }
        self.order = EpochOrder(
            self.data.train.rows,
            steps=self.steps_per_epoch,
            batch_size=recipe.batch_size,
            mirror=recipe.mirror,
            seed=seed,
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What this training does is queued on its stream and draws its own random numbers."""
        with self.stream, self.layer_randomness:
            yield

    @property
    def finished(self) -> bool:
        progress = self.progress
        return progress.stopped or progress.diverged or progress.step >= self.total_steps

    @property
    def validation_is_due(self) -> bool:
        return (self.progress.step - 1) % self.steps_per_epoch + 1 in self.validation_steps

    def train_step(self) -> None:
        """Everything that the host decides; all else is in :meth:`_step`."""
        self.order.go_to(*divmod(self.progress.step, self.steps_per_epoch))
        if self.recipe.schedule is not None:
            factor = self.recipe.schedule(self.progress.step / self.total_steps)
            optimizers.set_learning_rates(
                self.optimizer, [rate * factor for rate in self.base_rates]
            )
        if self.steps_before_recording == 0:
            self.recorded = self.stream.record(self._step, [self.transform_generator])
        self.steps_before_recording -= 1
        (self.recorded or self._step)()
        self.progress.step += 1
        self.slow.after_step(self.progress.step, self.total_steps)

    def _step(self) -> None:
        """One step of training, without anything that differs from step to step on the host."""
        rows, mirrored = self.order.next_batch()
        images, labels = self.data.train.batch(rows)
        if mirrored is not None:
            images = mirror(images, mirrored)
        for transform in self.recipe.batch_transforms:
            images, labels = transform(images, labels, generator=self.transform_generator)
        if self.half:
            self.half.take_weights()
        with autocast(self.device, self.recipe.precision):
            logits = self.stepped(self.normaliser(images))
        loss = self.recipe.loss(logits.float(), labels)
        for value in self.with_gradient:
            value.grad = None
        loss.backward()
        if self.half:
            self.half.give_gradients()
        with torch.no_grad():
            self.optimizer_step()
        # Labels may be class probabilities (B, 10) after a transform such as mixup.
        classes = labels if labels.ndim == 1 else labels.argmax(1)
        right = logits.detach().argmax(1) == classes
        self.sums[0].add_(loss.detach())
        self.sums[1].add_(right.mean(dtype=torch.float32))

    def measure(self, images: Batches) -> Tensor:
        """Mean loss and accuracy over a split, float64 (2,), on the device."""
        logits = predict(self.trained, images, self.normaliser, precision=self.recipe.precision)
        return loss_and_accuracy(logits, images.labels)

    def start_validation(self) -> None:
        """Queues the measurement; other trainings can queue theirs before its result is read."""
        if len(self.data.validation):
            self.measured.copy_(self.measure(self.data.validation))

    def finish_validation(self) -> None:
        """Reads the result into the learning curves; keeps the weights if they are better."""
        progress = self.progress
        last = progress.history[-1].step if progress.history else 0
        train = (self.sums / (progress.step - last)).tolist()
        self.sums.zero_()
        splits = [("train", train)]
        if len(self.data.validation):
            splits.append(("validation", self.measured.tolist()))
        for split, (loss, accuracy) in splits:
            epoch = round(progress.step / self.steps_per_epoch, 4)
            row = CurveRow(
                step=progress.step, epoch=epoch, split=split, loss=loss, accuracy=accuracy
            )
            progress.history.append(row)
        loss = splits[-1][1][0]
        # Without early stopping every finite validation replaces the weights: the last one's stay.
        chooses = self.recipe.early_stop_count is not None
        if loss < progress.best_loss if chooses else math.isfinite(loss):
            progress.best_loss, progress.best_step = loss, progress.step
            self.best = self._copy_weights()
        progress.diverged = not (math.isfinite(loss) and math.isfinite(train[0]))
        progress.stopped = stops_early(progress.validation_losses, self.recipe.early_stop_count)

    def _copy_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def keep_best(self) -> None:
        """Puts the weights that the recipe keeps back into the net."""
        self.net.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        return {
            "progress": asdict(self.progress),
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "slow": self.slow.values,
            "sums": self.sums,
            "transform_generator": self.transform_generator.get_state(),
            "layer_randomness": self.layer_randomness.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state; before the first step."""
        progress = dict(state["progress"])
        progress["history"] = [CurveRow(**row) for row in progress["history"]]
        self.progress = Progress(**progress)
        self.net.load_state_dict(state["net"])
        optimizers.load_optimizer(self.optimizer, state["optimizer"], self.device)
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        self.slow.restore(state["slow"])
        self.sums.copy_(state["sums"])
        self.transform_generator.set_state(state["transform_generator"])
        self.layer_randomness.restore(state["layer_randomness"])
