"""What the pictures of activations and attributions show, as arrays, computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifar_tricks.datasets.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class NetView:
    """What the first and the last convolution of a net make of one image.

    Args:
        net: what texts call the net.
        image: what the image shows, in a few words.
        pixels: the image as the net was given it, but before normalisation, uint8 (H, W, 3).
        first: name of the first convolution.
        weights: all its filters, (F, 3, K, K).
        filters: numbers of the filters that are shown one by one, in [0, F).
        first_maps: output of these filters for the image, (len(filters), H', W').
        last: name of the layer that ends the last convolutional block.
        channels: numbers of its channels that are shown.
        last_maps: output of these channels for the image, (len(channels), H'', W'').
        last_channels: how many the layer has.
        answer: the class that the net takes the image for.
        probability: of this class, in [0, 1]; NaN where the net has diverged.
    """

    net: str
    image: str
    pixels: np.ndarray
    first: str
    weights: np.ndarray
    filters: tuple[int, ...]
    first_maps: np.ndarray
    last: str
    channels: tuple[int, ...]
    last_maps: np.ndarray
    last_channels: int
    answer: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Test images and what a net took them for.

    Args:
        images: uint8 (N, 3, H, W).
        labels: int64 (N,).
        predicted: int64 (N,).
        index: int64 (N,), place in the test file.
        title: what texts call the data set.
        class_names: in the order of the labels.
    """

    images: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    index: np.ndarray
    title: str
    class_names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], dataset: Dataset) -> Examples:
        """From ``examples.safetensors``, which ``evaluate`` writes."""
        found = {name: arrays[name] for name in ("images", "labels", "predicted", "index")}
        return cls(**found, title=dataset.title, class_names=dataset.class_names)

    def pixels(self, place: int) -> np.ndarray:
        """One image, uint8 (H, W, 3)."""
        return np.ascontiguousarray(self.images[place].transpose(1, 2, 0))


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where a net sees what speaks for a class.

    Args:
        net: what texts call the net.
        layer: the feature maps that are weighted, in words.
        map_size: their height and width, in pixels.
        examples: the images.
        for_predicted: Grad-CAM of the predicted class, in [0, 1], enlarged: (N, H, W).
        for_label: the same of the true class.
        probability: of the predicted class, (N,), in [0, 1].
    """

    net: str
    layer: str
    map_size: int
    examples: Examples
    for_predicted: np.ndarray
    for_label: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Views:
    """All that is shown; what could not be had is left out.

    Args:
        photo: what the ImageNet net makes of the photo; None without such a net.
        own: what our nets make of a test image, by key.
        attribution: of the best net; None without it.
    """

    photo: NetView | None = None
    own: Mapping[str, NetView] = field(default_factory=dict)
    attribution: Attribution | None = None

    def facts(self, weights: Mapping[str, str]) -> dict[str, Any]:
        """What the report says of the pictures; None or nothing for what is missing.

        Plain values for JSON: ``backbone``, ``photo`` (what it shows), ``photo_class``,
        ``photo_probability`` (in [0, 1]), ``own_nets`` (hashes of their weights, by key),
        ``explained`` (key).

        Args:
            weights: content hash of every net's weights, by key.
        """
        photo = self.photo
        return {
            "backbone": photo and photo.net,
            "photo": photo and photo.image,
            "photo_class": photo and photo.answer,
            # Rounded, so that it does not depend on the order of sums.
            "photo_probability": photo and round(photo.probability, 3),
            "own_nets": {key: weights[key] for key in self.own},
            "explained": self.attribution and self.attribution.net,
        }
