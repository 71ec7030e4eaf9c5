"""Every source of randomness comes from a run's seed, one independent stream per purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def derive_seed(seed: int, purpose: str) -> int:
    """A seed in [0, 2**63) for one purpose of the run, e.g. ``"order of epoch 3"``."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on the device, seeded for one purpose of the run."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose))


class LayerRandomness:
    """PyTorch's global random stream, lent to one net: dropout layers draw from no other.

    In its ``with`` block the global stream is that of the net; outside, it is as if nothing had
    been drawn. So several nets can take turns, each with the numbers it would draw alone.

    Args:
        seed: of the run.
        device: where the net lives.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = make_generator(seed, "layers", device)
        self.on_gpu = device.type == "cuda"
        self.lent = torch.default_generator
        if self.on_gpu:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            index = torch.cuda.current_device() if device.index is None else device.index
            self.lent = torch.cuda.default_generators[index]

    def __enter__(self) -> None:
        if self.on_gpu:
            # By reference: a recorded step keeps drawing from the state that was there while it
            # was recorded, so each net needs a state of its own, not just other values in it.
            self.outer_state = self.lent.graphsafe_get_state()
            self.lent.graphsafe_set_state(self.generator)
        else:
            self.outer = self.lent.get_state()
            self.lent.set_state(self.generator.get_state())

    def __exit__(self, *_: object) -> None:
        if self.on_gpu:
            self.lent.graphsafe_set_state(self.outer_state)
        else:
            self.generator.set_state(self.lent.get_state())
            self.lent.set_state(self.outer)

    def state(self) -> Tensor:
        """The state of the net's stream; within the ``with`` block."""
        return self.lent.get_state()

    def restore(self, state: Tensor) -> None:
        """Goes on from a state; within the ``with`` block."""
        self.lent.set_state(state)


class EpochOrder:
    """Which images each step takes: all in another order in each epoch. It stays where it is in
    memory, so a recorded step finds what the host decides at the start of an epoch.

    Args:
        rows: of the training images, as :class:`~cifar_tricks.training.images.Batches` has them.
        steps: of an epoch.
        batch_size: images of each.
        mirror: see :class:`~cifar_tricks.training.recipe.Slots`.
        seed: of the run.
    """

    def __init__(
        self,
        rows: Tensor,
        *,
        steps: int,
        batch_size: int,
        mirror: Callable[..., Tensor] | None,
        seed: int,
    ) -> None:
        self.all, self.batch_size, self.mirror, self.seed = rows, batch_size, mirror, seed
        # Those of the epoch's batches one after the other, and where those of the next batch are.
        self.rows = rows.new_zeros(steps * batch_size)
        self.mirrored = torch.zeros_like(self.rows, dtype=torch.bool)
        self.places = torch.arange(batch_size, device=rows.device)
        self.epoch = -1

    def go_to(self, epoch: int, step: int) -> None:
        """Draws the order of an epoch, and goes to one of its steps, unless that is done."""
        if epoch == self.epoch:
            return
        generator = make_generator(self.seed, f"order of epoch {epoch}")
        order = torch.randperm(len(self.all), generator=generator)[: len(self.rows)]
        torch.index_select(self.all, 0, order.to(self.all.device), out=self.rows)
        if self.mirror is not None:
            self.mirrored.copy_(self.mirror(epoch, order, len(self.all), seed=self.seed))
        self.epoch, first = epoch, step * self.batch_size
        torch.arange(first, first + self.batch_size, out=self.places)

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Rows of the next step, and which of its images are mirrored, bool (B,); None for none."""
        rows = self.rows.index_select(0, self.places)
        mirrored = self.mirrored.index_select(0, self.places) if self.mirror is not None else None
        self.places += self.batch_size
        return rows, mirrored
