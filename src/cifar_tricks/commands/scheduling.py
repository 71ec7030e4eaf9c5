"""How many trainings run at once, and which of them in which process."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_tricks.base import resources
from cifar_tricks.base.errors import UserError
from cifar_tricks.engines.local import has_gpu
from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant
from cifar_tricks.training.arithmetic import multiply_adds
from cifar_tricks.training.recipe import BackboneSpec

# Peak resident memory of one training on a CPU, measured at scale full without copies: 1.2 GB.
# Copies need up to 0.6 GB more, by their size.
BYTES_PER_JOB = 2 * 1024**3


def num_jobs(given: str, params: Params) -> int:
    """How many trainings run at once.

    Args:
        given: auto, or a number.
        params: the checked parameters.

    Raises:
        UserError: something else.
    """
    if given != "auto":
        if not given.isdecimal() or int(given) < 1:
            raise UserError(f"JOBS = {given}: valid: auto, or a whole number from 1")
        return int(given)
    if has_gpu(params.device):
        return 1  # one training already keeps a GPU busy
    threads = params.scales[params.scale].threads
    spare = resources.memory() - int(params.transfer.cache_gb * 1e9)
    return max(1, min(int(resources.cores() // threads), spare // BYTES_PER_JOB))


def tell_device_choice(params: Params) -> None:
    """Says which device ``device: auto`` stands for here.

    Raises:
        UserError: there is a GPU, or one was asked for, and it cannot be used.
    """
    if not has_gpu(params.device):
        print("device: cpu", flush=True)
        return
    # Only here: without a GPU nothing imports PyTorch.
    from cifar_tricks.training import device

    device.tell_device(device.choose_device(params.device))


def split_work(trainings: Sequence[Variant], jobs: int) -> list[list[Variant]]:
    """Splits trainings into at most ``jobs`` lists of about equal work."""
    shares: list[list[Variant]] = [[] for _ in range(min(jobs, len(trainings)))]
    work = [0.0] * len(shares)
    # The longest first, each to whoever has least to do.
    for variant in sorted(trainings, key=seconds, reverse=True):
        least = work.index(min(work))
        shares[least].append(variant)
        work[least] += seconds(variant)
    return shares


def seconds(variant: Variant) -> float:
    """About how long a training takes on one core, start-up and DVC's work included.

    Only the proportions matter here. They were measured in fp32: 35 thousand million multiply-adds
    of a net's forward pass in a second, and what 3.5 million cost for an image in any net.
    """
    net, total = variant.recipe.net, 3.5e6
    if isinstance(net, ImportedSpec):
        total = 1e8  # of whatever size
    elif isinstance(net, BackboneSpec):
        total = 3e8  # the frozen part runs once per image, the trained part in each epoch
    else:
        channels = net.channels
        for layer, (filters, size) in enumerate(
            zip(net.filters, net.feature_map_sizes(), strict=True)
        ):
            out = size * (net.pool_after(layer) or 1)
            total += multiply_adds(
                out, channels=channels, filters=filters, kernel_size=net.kernel_size
            )
            channels = filters
    recipe = variant.recipe
    images = recipe.num_epochs * recipe.steps_per_epoch * recipe.batch_size
    return 5 + images * total / 35e9
