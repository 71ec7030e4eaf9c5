"""How far a training has come: its learning curves and the rule that ends it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CurveRow:
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
    history: list[CurveRow] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    diverged: bool = False
    stopped: bool = False

    @property
    def validation_losses(self) -> list[float]:
        """All validation losses so far."""
        return [row.loss for row in self.history if row.split == "validation"]


def stops_early(validation_losses: list[float], count: int | None) -> bool:
    """Whether the first of the last ``count`` losses is their minimum (the report's rule); never
    where ``count`` is None."""
    if count is None:
        return False
    last = validation_losses[-count:]
    return len(last) == count and count > 1 and last[0] == min(last)
