"""Every source of randomness comes from a run's seed, one independent stream per purpose."""

from __future__ import annotations

import hashlib

import torch


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

    def state(self) -> torch.Tensor:
        """The state of the net's stream; within the ``with`` block."""
        return self.lent.get_state()

    def restore(self, state: torch.Tensor) -> None:
        """Goes on from a state; within the ``with`` block."""
        self.lent.set_state(state)
