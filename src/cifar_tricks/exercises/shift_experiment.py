"""How far a shift of the image changes a net's features, with and without pooling: exercise (b).

The features are those behind the first convolution and the ReLU of a trained net, of images that
it was not trained on. Each of the layers below stands behind it in turn; nothing is trained anew.

Source: Zhang (2019), Making convolutional networks shift-invariant again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor
from torch.nn import functional as F

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.runs.folders import read_run, run_folder, seed_folder, seeds_with_weights
from cifar_tricks.runs.run import Run
from cifar_tricks.training.device import prepare
from cifar_tricks.training.images import split_indices
from cifar_tricks.training.normalisation import Normalisation
from cifar_tricks.training.recipe import TRAIN_FILE

# Always there, whatever `models` of params.yaml holds; the net of exercise (g).
NET = "reference-baseline"
MOST_IMAGES = 500
SHIFTS = (1, 2, 3, 4, 5, 6, 7, 8)
NONE, STRIDED, AVERAGE = "no pooling", "every second element", "average pooling"
MAX, BLURRED = "max-pooling", "blurred max-pooling"
# Below this many pixels a feature map is too small for the last of the layers.
SMALLEST_MAP = 4


def _blurred(features: Tensor) -> Tensor:
    """Max-pooling at stride 1, then a low-pass filter (1 2 1) in both directions at stride 2."""
    maps = F.max_pool2d(features, 2, stride=1)
    maps = (maps[..., :-2:2, :] + 2 * maps[..., 1:-1:2, :] + maps[..., 2::2, :]) / 4
    return (maps[..., :-2:2] + 2 * maps[..., 1:-1:2] + maps[..., 2::2]) / 4


# All but the first halve height and width; the second without looking at more than one element.
LAYERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    NONE: lambda features: features,
    STRIDED: lambda features: features[..., ::2, ::2],
    AVERAGE: partial(F.avg_pool2d, kernel_size=2),
    MAX: partial(F.max_pool2d, kernel_size=2),
    BLURRED: _blurred,
}


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How far shifts change the features behind one layer.

    Args:
        relative: Euclidean distance between the features of the image and of the shifted image,
            divided by the norm of the former; mean of a shift down and a shift right by the same
            number of pixels; float64 (shifts, N).
        unrelated: likewise, the distance from the next image's features, float64 (N,).
    """

    relative: Tensor
    unrelated: Tensor

    @property
    def share(self) -> Tensor:
        """The change by the first shift as a share of the way to another image: unlike ``relative``
        not lower just because a layer makes all features large or alike; float64 (N,)."""
        return self.relative[0] / self.unrelated


def measure_shifts(scale: str) -> dict[str, Any] | None:
    """Runs the experiment on the trained net at a scale, with the first of its seeds.

    Returns:
        JSON values; None where the net is not trained here yet or leaves nothing to compare:
        feature maps of less than SMALLEST_MAP pixels, or no two images with features.

    Raises:
        UserError: the run is damaged, or the training images are missing or damaged.
    """
    if not (run_folder(scale, NET) / "run.json").exists():
        return None
    prepare(torch.device("cpu"), threads=1)
    run = read_run(scale, NET)
    if not (seeds := seeds_with_weights(run)):
        return None
    seed = seeds[0]
    weights = read_arrays(seed_folder(scale, NET, seed) / "model.safetensors")
    weight, bias = (torch.from_numpy(weights[f"blocks.0.conv.{n}"]) for n in ("weight", "bias"))
    images = _unseen_images(run, seed)
    stride: int = run.recipe["net"]["stride"]
    # Without padding: zeros at the border would not move with the image.
    if (images.shape[-1] - max(SHIFTS) - weight.shape[-1]) // stride + 1 < SMALLEST_MAP:
        return None
    changes = compare_layers(
        images, lambda pixels: F.relu(F.conv2d(pixels, weight, bias, stride)), SHIFTS
    )
    if len(changes[NONE].unrelated) < 2:
        return None
    return {
        "net": NET,
        "seed": seed,
        "validation_accuracy": run.seeds[seed].validation_accuracy,
        "crop": images.shape[-1] - max(SHIFTS),
        "left_out": len(images) - len(changes[NONE].unrelated),
        **summarise_shifts(changes, SHIFTS),
    }


def _unseen_images(run: Run, seed: int) -> Tensor:
    """Images of the training file that were set aside for validation, normalised: (N, 3, H, W)
    float32. The test images are none of them."""
    file = read_arrays(TRAIN_FILE)
    train, validation = run.recipe["train_images"], run.recipe["validation_images"]
    rows = split_indices(len(file["labels"]), train=train, validation=validation, seed=seed)[1]
    pixels = torch.from_numpy(file["images"][rows[:MOST_IMAGES].numpy()])
    result = run.seeds[seed]
    normaliser = Normalisation(mean=result.mean, std=result.std).to(pixels.device)
    return normaliser(pixels)


@torch.inference_mode()
def compare_layers(
    images: Tensor, features: Callable[[Tensor], Tensor], shifts: tuple[int, ...]
) -> dict[str, Changes]:
    """Shifts images by cropping, so that real pixels move in at the border.

    Args:
        images: (N, C, H, W).
        features: maps images (N, C, h, w) to feature maps, at least SMALLEST_MAP high and wide.
        shifts: in pixels.

    Returns:
        By layer, for the images with features behind each (finite, not all 0, unlike the next
        image's) that the first shift changes.
    """
    size = images.shape[-1] - max(shifts)

    def crop(down: int, right: int) -> Tensor:
        return features(images[:, :, down : down + size, right : right + size])

    still = crop(0, 0)
    unmoved = {name: layer(still).flatten(1) for name, layer in LAYERS.items()}
    norms = {name: _norm(maps) for name, maps in unmoved.items()}
    relative: dict[str, list[Tensor]] = {name: [] for name in LAYERS}
    for shift in shifts:
        moved = [crop(shift, 0), crop(0, shift)]
        for name, layer in LAYERS.items():
            distances = [_norm(layer(maps).flatten(1) - unmoved[name]) for maps in moved]
            relative[name].append((distances[0] + distances[1]) / 2 / norms[name])
    unrelated = {n: _norm(maps - maps.roll(-1, 0)) / norms[n] for n, maps in unmoved.items()}
    # What is divided by below must not be 0; a distance divided by 0 here is not finite.
    usable = torch.stack([relative[NONE][0], *unrelated.values()]).gt(0).all(0)
    for distances in (*relative.values(), [*unrelated.values()]):
        usable &= torch.stack(distances).isfinite().all(0)
    return {
        name: Changes(relative=torch.stack(values)[:, usable], unrelated=unrelated[name][usable])
        for name, values in relative.items()
    }


def _norm(maps: Tensor) -> Tensor:
    norms: Tensor = maps.double().norm(dim=1)
    return norms


def summarise_shifts(changes: Mapping[str, Changes], shifts: tuple[int, ...]) -> dict[str, Any]:
    """Means over the images and their 95% intervals, as JSON values.

    Args:
        changes: by layer, of at least two images; the first shift is the one by one pixel.
        shifts: in pixels.
    """
    plain, plain_share = changes[NONE].relative[0], changes[NONE].share
    return {
        "images": len(plain),
        "shifts": list(shifts),
        "layers": {
            name: {
                "relative": [mean_and_interval(values) for values in change.relative],
                "share": mean_and_interval(change.share),
                "against_none": mean_and_interval(change.relative[0] / plain - 1),
                "share_against_none": mean_and_interval(change.share / plain_share - 1),
                "below_none": int((change.relative[0] < plain).sum()),
            }
            for name, change in changes.items()
        },
    }


def mean_and_interval(values: Tensor) -> list[float]:
    """Mean, lower and upper end of Student's 95% interval of the mean, to six digits.

    Args:
        values: float64 (N,), N >= 2.
    """
    count, mean = len(values), values.mean().item()
    half = float(student.ppf(0.975, count - 1)) * values.std().item() / math.sqrt(count)
    return [round(number, 6) for number in (mean, mean - half, mean + half)]
