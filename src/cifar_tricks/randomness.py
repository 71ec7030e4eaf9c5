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
