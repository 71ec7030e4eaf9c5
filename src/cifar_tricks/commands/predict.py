"""``make predict IMAGE=photo.jpg``: what the study's best net takes a photo for."""

from __future__ import annotations

from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.data.photo import crop_square, read_photo, with_home
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params


def print_classes(image: str, scale: str) -> int:
    """Prints the classes with their probabilities.

    Args:
        image: a photo's path; ``~`` means home.
        scale: whose best net answers; "" for that of params.yaml.

    Returns:
        The exit code.

    Raises:
        UserError: no photo, no such scale, or no net of it.
    """
    if not image:
        raise UserError("no photo given: make predict IMAGE=photo.jpg")
    params = load_params()
    scale = scale or params.scale
    if scale not in params.scales:
        raise UserError(f"scale = {scale}: unknown; {choose_from(scale, params.scales)}")
    picture = read_photo(with_home(image), min_side=32)
    print(_told(Path("reports") / scale / "champion", crop_square(picture, 32), params))
    return 0


def _told(folder: Path, image: object, params: Params) -> str:
    import numpy as np

    from cifar_tricks.evaluation.classifier import load_classifier

    classifier = load_classifier(folder, params)
    about = classifier.about
    (probabilities,) = classifier.probabilities(np.asarray(image)[None])
    ranked = sorted(zip(about["classes"], probabilities, strict=True), key=lambda pair: -pair[1])
    lines = [f"{name:<12}{probability:6.3f}" for name, probability in ranked]
    return "\n".join(
        [
            *lines,
            "",
            f"by {about['key']}, seed {about['seed']}, scale {about['scale']}: test accuracy "
            f"{about['test_accuracy']:.4f}",
            "It sees the middle of the photo at 32 x 32 pixels and knows these ten classes only: "
            "any photo gets one of them.",
        ]
    )
