"""The nets that were trained on ImageNet: how each is made, and where it is cut in two.

Nothing here imports torch, so that params.yaml is checked quickly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import restored
from cifar_tricks.training.call import Call, later

FOLDER = Path("data/pretrained")
# Says which backbone is used; there also where none could be had.
CHOICE_FILE = FOLDER / "backbone.json"

# Channel means and standard deviations of ImageNet's training images, in [0, 1]; both nets below
# take images normalised with them. Source: torchvision, ResNet18_Weights.IMAGENET1K_V1.transforms.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """An architecture, cut before its last stage, which halves the feature maps to 7 x 7.

    Args:
        title: what texts and figures call it.
        net: makes it with its 1,000 ImageNet classes and random weights.
        trunk: its modules up to the cut, in their order; they stay as ImageNet left them.
        tail: its modules behind the cut, in their order, the last layer left out; they are trained.
        head: the last, fully connected layer, which is replaced.
    """

    title: str
    net: Call
    trunk: tuple[str, ...]
    tail: tuple[str, ...]
    head: str


BACKBONES = {
    # Source: He et al. (2016), Deep residual learning for image recognition.
    "resnet18": Backbone(
        title="ResNet-18",
        net=Call("torchvision.models.resnet18"),
        trunk=("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"),
        tail=("layer4", "avgpool"),
        head="fc",
    ),
    # Source: Tan & Le (2019), EfficientNet; R. Liu (2020), Higher accuracy on vision models with
    # EfficientNet-Lite (TensorFlow blog).
    "efficientnet_lite0": Backbone(
        title="EfficientNet-Lite0",
        net=Call("timm.create_model", {"model_name": "tf_efficientnet_lite0"}),
        trunk=("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"),
        tail=("blocks.5", "blocks.6", "conv_head", "bn2", "global_pool"),
        head="classifier",
    ),
}


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A net that was trained on ImageNet, with a last layer of its own.

    Only its last stage and the new layer are trained (:data:`BACKBONES` says where each
    is cut); the trunk before stays as it is, its batch norms too.

    Args:
        backbone: a key of :data:`BACKBONES`.
        image_size: the images are enlarged to this height and width, in pixels.
        num_classes: how many logits it gives.
    """

    module: ClassVar[Call] = Call("cifar_tricks.transfer.net.TransferNet")

    backbone: str
    image_size: int
    num_classes: int = later(10)


def weights_file(backbone: str) -> Path:
    """Where the stage ``download`` puts a backbone's weights."""
    return FOLDER / f"{backbone}.safetensors"


def check_choice() -> None:
    """Whether the stage ``download`` has said which backbone could be had, if any.

    Raises:
        UserError: it has not, or what it wrote is not here.
    """
    if not CHOICE_FILE.exists():
        raise UserError(
            f"{FOLDER} is not here; get it with: dvc pull {FOLDER}; or: dvc repro download"
        )


def used_backbone() -> str | None:
    """The backbone whose weights the stage ``download`` got; None where it got none.

    Raises:
        UserError: the file that says so is damaged.
    """
    if not CHOICE_FILE.exists():
        return None
    try:
        used = json.loads(CHOICE_FILE.read_bytes())["used"]
        return used if used in BACKBONES else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{CHOICE_FILE} is damaged; {restored(FOLDER)}") from error
