"""A training run as data: the slots that tricks fill and the training loop reads.

Nothing here imports torch: what a slot calls is named by its import path (:class:`Call`), so that
a parameter file is checked in a fraction of a second and a recipe can be written to JSON as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cifar_tricks.training.arithmetic import output_size
from cifar_tricks.training.backbones import BackboneSpec as BackboneSpec
from cifar_tricks.training.call import Call, later

# The images that trainings read, and the copies of them that the stage `augment` makes.
TRAIN_FILE = "data/dataset/train.safetensors"
COPIES_FILE = "data/augmented.safetensors"
IMAGE_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """A convolutional net: blocks of convolution, norm, activation, pooling and dropout, then
    fully connected layers. The fields up to ``hidden`` come from params.yaml, the others from
    tricks.

    Args:
        filters: output channels of each convolution.
        kernel_size: of every convolution, in pixels.
        stride: of every convolution, in pixels.
        padding: zeros on each side of every convolution's input, in pixels.
        pool: max-pooling after convolutions, its window and stride in pixels; None for none.
        pool_every: after every so many of them, from 1 (each).
        hidden: units of each hidden fully connected layer.
        activation: makes the module after every convolution and hidden layer.
        norm_2d: called with the number of channels, makes the norm after each convolution.
        norm_1d: called with the number of units, makes the norm after each hidden layer.
        dropout: makes the module at the end of each convolutional block.
        weight_init: called with a weight tensor and ``generator=``, fills it in place;
            None keeps PyTorch's default (uniform within 1 / sqrt(fan in)).
        conv_bias: whether the blocks' convolutions have biases.
        stem: kernel size in pixels of a convolution of stride 1 without padding in front of the
            blocks, whose weights the recipe's ``features`` sets and nothing trains; None for none.
        pool_early: pooling comes right behind the first of ``pool_every`` convolutions.
        pool_all: max-pooling over the whole last feature map, before the fully connected layers.
        logit_scale: factor on the logits.
        image_size: height (= width) of the images in pixels.
        num_classes: how many logits it gives.
    """

    # By its import path, as all that a recipe calls: what trains one kind of net does not load the
    # other, and a change of one does not retrain the other.
    module: ClassVar[Call] = Call("cifar_tricks.training.nets.ConvNet")

    filters: tuple[int, ...]
    kernel_size: int
    stride: int
    padding: int
    pool: int | None
    pool_every: int = 1
    hidden: tuple[int, ...]
    activation: Call = Call("torch.nn.ReLU")
    norm_2d: Call | None = None
    norm_1d: Call | None = None
    dropout: Call | None = None
    weight_init: Call | None = None
    conv_bias: bool = later(True)
    stem: int | None = later(None)
    pool_early: bool = later(False)
    pool_all: bool = later(False)
    logit_scale: float = later(1.0)
    image_size: int = later(32)
    num_classes: int = later(10)

    @property
    def channels(self) -> int:
        """Of what goes into the first block; from a stem, two for each value of a patch."""
        return IMAGE_CHANNELS if self.stem is None else 2 * IMAGE_CHANNELS * self.stem**2

    @property
    def features(self) -> int:
        """Values of an image that go into the fully connected layers."""
        size = self.feature_map_sizes()[-1]
        return self.filters[-1] * (1 if self.pool_all else size**2)

    def pool_after(self, layer: int) -> int | None:
        """Window of the max-pooling behind a convolution, 0 for the first; None for none."""
        place = 0 if self.pool_early else self.pool_every - 1
        return self.pool if layer % self.pool_every == place else None

    def feature_map_sizes(self) -> tuple[int, ...]:
        """Height (= width) in pixels of the feature maps after each block.

        Raises:
            ValueError: where a kernel or pooling window is larger than what it slides over.
        """
        sizes, size = list[int](), output_size(self.image_size, kernel_size=self.stem or 1)
        for layer in range(len(self.filters)):
            size = output_size(
                size, kernel_size=self.kernel_size, stride=self.stride, padding=self.padding
            )
            if (pool := self.pool_after(layer)) is not None and size >= 1:
                size = output_size(size, kernel_size=pool, stride=pool)
            if size < 1:
                raise ValueError(f"the feature map shrinks to nothing in layer {layer + 1}")
            sizes.append(size)
        return tuple(sizes)


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What every training run consists of, whatever its net.

    Args:
        optimizer: called with the parameters, makes a ``torch.optim.Optimizer``.
        loss: called with logits (B, classes) and labels (B,), returns the mean loss in nats.
        schedule: called with the fraction of all steps done, in [0, 1), returns the factor on the
            learning rate; None keeps it constant.
        normalisation: channel means and standard deviations in pixel values 0 to 255; None
            measures them on the training split.
        mirror: called before each epoch with its number, the places of its images in the split
            int64 (n,), the size of that and ``seed=``; returns which it flips, bool (n,).
        batch_transforms: each called with images uint8 (B, 3, H, W), labels and ``generator=``,
            returns images and labels; run on every training batch before normalisation.
        features: called with the net, the training data, its normaliser and ``precision=`` before
            the first step; returns the trained part of the net, and data and normaliser for it.
        slow_weights: called after each step with the steps done and in all; returns by which share
            a second set of weights moves towards the net's and replaces them, None for not now.
        views: called with normalised images; returns the views that a scored net is asked for, each
            with the weight of its logits.
        copies: whether the training split is doubled with the copies of the stage ``augment``.
        batch_size: images per step; an incomplete last batch is dropped.
        num_epochs: at most this many passes over the training images.
        validations_per_epoch: evenly spaced, the last at the end of the epoch.
        early_stop_count: stop when the first of this many last validation losses is their minimum,
            and keep the weights with the lowest; None: validation decides nothing, so all epochs
            are trained and the last weights kept.
        train_images: size of the training split (without copies).
        validation_images: size of the validation split; 0 for none.
        precision: fp32, tf32 (on a GPU, products of 10-bit mantissas), or bf16 autocast (weights
            stay float32).
        threads: CPU threads; they change the order of sums and so the rounding.
    """

    optimizer: Call
    loss: Call = Call("torch.nn.functional.cross_entropy")
    schedule: Call | None = None
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    mirror: Call | None = later(None)
    batch_transforms: tuple[Call, ...] = ()
    features: Call | None = None
    slow_weights: Call | None = later(None)
    views: Call | None = later(None)
    copies: bool = False
    batch_size: int
    num_epochs: int
    validations_per_epoch: int
    early_stop_count: int | None
    train_images: int
    validation_images: int
    precision: Literal["fp32", "tf32", "bf16"]
    threads: int

    def calls(self) -> list[Call]:
        """All filled slots that call something."""
        slots = [*vars(self).values(), *self.batch_transforms]
        return [slot for slot in slots if isinstance(slot, Call)]

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training images, copies included."""
        return self.train_images * (2 if self.copies else 1) // self.batch_size


@dataclass(frozen=True, kw_only=True)
class Recipe(Slots):
    """Everything that determines the training of a convolutional net but its seed, its data and
    its machine: what a trick changes.

    Args:
        net: the net.
    """

    net: NetSpec

    def calls(self) -> list[Call]:
        """All filled slots that call something, those of the net among them."""
        slots = [self.net.module, *vars(self.net).values()]
        return [*super().calls(), *(slot for slot in slots if isinstance(slot, Call))]


@dataclass(frozen=True, kw_only=True)
class TransferRecipe(Slots):
    """The same for a net that was trained on ImageNet.

    Args:
        net: the backbone.
    """

    net: BackboneSpec

    def calls(self) -> list[Call]:
        """All filled slots that call something, the net among them."""
        return [*super().calls(), self.net.module]


AnyNet = NetSpec | BackboneSpec
AnyRecipe = Recipe | TransferRecipe
