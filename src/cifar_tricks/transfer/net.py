"""A backbone from ImageNet with a new last layer: a frozen trunk and a tail that is trained.

Source: the original report, task 4a; Yosinski et al. (2014), How transferable are features in deep
neural networks?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_tricks.training.backbones import BACKBONES
from cifar_tricks.training.nets import initialise
from cifar_tricks.training.recipe import BackboneSpec


class TransferNet(nn.Module):
    """The backbone's own modules under their own names, its last layer replaced.

    The state dict is that of the backbone with as many classes: torchvision's ``resnet18`` with
    ``num_classes=10`` loads that of CIFAR-10 as it is.

    The trunk stays in evaluation mode also while the tail is trained: its batch norms normalise
    with ImageNet's running statistics and do not change them, so that an image's features depend on
    nothing but the image. The tail's batch norms are trained as usual.

    Args:
        spec: the backbone, and how far the images are enlarged.
        seed: of the new layer's initial weights. All others are random until
            :meth:`load_backbone` or ``load_state_dict``.
    """

    # Images that go through at once where no gradient is needed: 26 MB for the first feature map.
    prediction_batch = 32

    def __init__(self, spec: BackboneSpec, *, seed: int) -> None:
        super().__init__()
        backbone = BACKBONES[spec.backbone]
        whole: nn.Module = backbone.net()
        old = whole.get_submodule(backbone.head)
        assert isinstance(old, nn.Linear)
        head = nn.Linear(old.in_features, spec.num_classes)
        initialise(nn.ModuleDict({backbone.head: head}), None, seed)
        setattr(whole, backbone.head, head)
        for name, child in whole.named_children():
            self.add_module(name, child)
        self.image_size, self.head = spec.image_size, backbone.head
        trunk = [self.get_submodule(name) for name in backbone.trunk]
        tail = [self.get_submodule(name) for name in backbone.tail]
        # In a tuple, where nn.Module does not see them: their parameters have their names already.
        self._parts = (nn.Sequential(*trunk), nn.Sequential(*tail, nn.Flatten(), head))
        self.trunk.requires_grad_(False)
        for module in self.tail.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.forward = partial(_backward_in_float32, module.forward)  # type: ignore[method-assign]
        self.to(memory_format=torch.channels_last)
        self.train()

    @property
    def trunk(self) -> nn.Sequential:
        """From enlarged images (B, 3, S, S) to features (B, C, S / 16, S / 16)."""
        return self._parts[0]

    @property
    def tail(self) -> nn.Sequential:
        """From features to logits (B, classes)."""
        return self._parts[1]

    def load_backbone(self, weights: Mapping[str, np.ndarray]) -> None:
        """Fills everything but the new layer.

        Args:
            weights: by their names in the backbone.

        Raises:
            RuntimeError: names or shapes do not fit the backbone.
        """
        own = self.state_dict()
        kept = {name: own[name] for name in own if name.startswith(f"{self.head}.")}
        given = {name: torch.from_numpy(array) for name, array in weights.items()}
        self.load_state_dict({**given, **kept})

    def train(self, mode: bool = True) -> TransferNet:
        """As usual, but for the trunk."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to what the trunk makes of them, without gradient."""
        size = (self.image_size, self.image_size)
        enlarged = F.interpolate(images, size, mode="bilinear", align_corners=False)
        features: Tensor = self.trunk(enlarged)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, classes)."""
        logits: Tensor = self.tail(self.features(images))
        return logits


def _backward_in_float32(forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Keeps a depthwise convolution that is trained on a CPU in float32.

    With its gradient in bfloat16 the whole tail trained at half the speed of float32; everything
    else gains from bfloat16 (docs/decisions/engine.md).
    """
    if not torch.is_grad_enabled() or images.device.type != "cpu":
        return forward(images)
    with torch.autocast("cpu", enabled=False):
        return forward(images.float())
