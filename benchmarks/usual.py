"""The usual trainer, as course code and most repositories write it, and what it is made of.

torchvision's CIFAR10, transforms on each image, a DataLoader, layers in the textbook's order, eager
fp32, ``loss.item()`` in every step. It trains the same nets on the same images with the same batch
size and optimizer as the engine.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.training.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD
from cifar_tricks.training.recipe import AnyRecipe, BackboneSpec, NetSpec


class UsualTrainer:
    """The loop, to be run some steps at a time.

    Args:
        recipe: net, optimizer and batch size.
        arrays: the images; torchvision's class is fed from them.
        device: where the net lives.
        workers: of the DataLoader.
        augment: whether each training image is cropped and flipped at random.
    """

    def __init__(
        self,
        recipe: AnyRecipe,
        arrays: Arrays,
        device: torch.device,
        *,
        workers: int,
        augment: bool = False,
    ) -> None:
        self.device = device
        if isinstance(recipe.net, BackboneSpec):
            self.net = frozen_backbone(recipe.net).to(device)
            tail = [
                transforms.Resize(recipe.net.image_size),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        else:
            self.net = nn.Sequential(*plain_layers(recipe.net)).to(device)
            tail = [
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        changes = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self.train_loader = DataLoader(
            dataset(arrays, [*changes, *tail] if augment else tail),
            recipe.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
        )
        self.validation_loader = DataLoader(
            dataset(arrays, tail), recipe.batch_size, num_workers=workers
        )
        trained = [value for value in self.net.parameters() if value.requires_grad]
        self.optimizer = recipe.optimizer(trained)
        self.batches = self._forever()

    def _forever(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from self.train_loader

    def step(self) -> None:
        """One step of training."""
        images, labels = next(self.batches)
        images, labels = images.to(self.device), labels.to(self.device)
        loss = F.cross_entropy(self.net(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()

    def validate(self, batches: int) -> int:
        """Loss and accuracy over some batches; returns how many images these were."""
        self.net.eval()
        total = right = 0
        with torch.no_grad():
            for number, (images, labels) in enumerate(self.validation_loader):
                if number == batches:
                    break
                logits = self.net(images.to(self.device))
                labels = labels.to(self.device)
                F.cross_entropy(logits, labels).item()
                right += (logits.argmax(1) == labels).sum().item()
                total += len(labels)
        self.net.train()
        return total


def dataset(arrays: Arrays, changes: list[nn.Module]) -> CIFAR10:
    """torchvision's data set of these images."""
    made = CIFAR10.__new__(CIFAR10)  # its constructor wants files; these arrays are the same
    made.data = np.ascontiguousarray(arrays["images"].transpose(0, 2, 3, 1))
    made.targets = arrays["labels"].tolist()
    made.target_transform = None
    made.transform = transforms.Compose(changes)
    return made


def plain_layers(spec: NetSpec) -> list[nn.Module]:
    """The layers in the order in which they are usually written: activation, then pooling."""
    channels = 3
    layers: list[nn.Module] = []
    for filters in spec.filters:
        layers.append(nn.Conv2d(channels, filters, spec.kernel_size, spec.stride, spec.padding))
        layers += [spec.norm_2d(filters)] if spec.norm_2d else []
        layers.append(spec.activation())
        layers += [nn.MaxPool2d(spec.pool)] if spec.pool else []
        channels = filters
    features = channels * spec.feature_map_sizes()[-1] ** 2
    layers.append(nn.Flatten())
    for units in spec.hidden:
        layers.append(nn.Linear(features, units))
        layers += [spec.norm_1d(units)] if spec.norm_1d else []
        layers.append(spec.activation())
        features = units
    return [*layers, nn.Linear(features, 10)]


def frozen_backbone(spec: BackboneSpec) -> nn.Module:
    """The whole backbone, the gradients of its frozen part switched off."""
    backbone = BACKBONES[spec.backbone]
    net: nn.Module = backbone.net().requires_grad_(False)
    setattr(net, backbone.head, nn.Linear(getattr(net, backbone.head).in_features, 10))
    for name in (*backbone.tail, backbone.head):
        net.get_submodule(name).requires_grad_(True)
    return net.train()
