"""From a net and images to logits, and from logits to loss and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_tricks.training.images import Batches

# Large enough to keep the cores busy; a constant, because it decides how the sums are rounded.
# A net on large images says how many of them it takes, and a GPU takes GPU_TIMES as many.
BATCH_SIZE, GPU_TIMES = 250, 5


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a net runs at a precision, ``fp32``, ``tf32`` or ``bf16``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def predict(
    net: nn.Module,
    images: Batches,
    normaliser: Callable[[Tensor], Tensor],
    *,
    precision: str,
    views: Callable[[Tensor], Iterable[tuple[float, Tensor]]] | None = None,
) -> Tensor:
    """Logits float32 (N, classes) of all images in their order, on their device.

    The net is left in the mode (training or evaluation) it was in. With views, the logits are the
    weighted sum of those of each: see :class:`~cifar_tricks.training.recipe.Slots`.
    """
    device = images.labels.device
    batch_size = getattr(net, "prediction_batch", BATCH_SIZE)
    if device.type == "cuda":
        batch_size *= GPU_TIMES
    was_training = net.training
    net.eval()
    logits = []
    for rows in torch.split(images.rows, batch_size):
        batch = normaliser(images.batch(rows)[0])
        with autocast(device, precision):
            if views is None:
                logits.append(net(batch).float())
            else:
                parts = [weight * net(view).float() for weight, view in views(batch)]
                logits.append(torch.stack(parts).sum(0))
    net.train(was_training)
    return torch.cat(logits)


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats and fraction of right answers: float64 (2,), on their device.

    Args:
        logits: (N, classes).
        labels: int64 (N,).
    """
    loss = F.cross_entropy(logits.double(), labels)
    accuracy = (logits.argmax(1) == labels).double().mean()
    return torch.stack([loss, accuracy])
