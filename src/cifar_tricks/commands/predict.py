"""``make predict IMAGE=photo.jpg``: what the study's best net takes a photo for."""

from __future__ import annotations

from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import choose_from
from cifar_tricks.data.photo import crop_square, read_photo, with_home
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params

MOST_CLASSES = 20


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
    # Before PyTorch is imported; how large it has to be, only the net tells.
    read_photo(with_home(image), min_side=1)
    print(_told(Path("reports") / scale / "champion", with_home(image), params))
    return 0


def _told(folder: Path, photo: Path, params: Params) -> str:
    import numpy as np

    from cifar_tricks.evaluation.classifier import load_classifier

    classifier = load_classifier(folder, params)
    about = classifier.about
    size = classifier.image_size
    picture = read_photo(photo, min_side=size)
    (probabilities,) = classifier.probabilities(np.asarray(crop_square(picture, size))[None])
    ranked = sorted(zip(about["classes"], probabilities, strict=True), key=lambda pair: -pair[1])
    width = max(11, *(len(name) for name, _ in ranked[:MOST_CLASSES]))
    lines = [f"{name:<{width}} {probability:6.3f}" for name, probability in ranked[:MOST_CLASSES]]
    if more := ranked[MOST_CLASSES:]:
        lines.append(
            f"and {len(more)} more classes, {sum(share for _, share in more):.3f} together"
        )
    count = "ten" if len(ranked) == 10 else len(ranked)
    return "\n".join(
        [
            *lines,
            "",
            f"by {about['key']}, seed {about['seed']}, scale {about['scale']}: test accuracy "
            f"{about['test_accuracy']:.4f}",
            f"It sees the middle of the photo at {size} x {size} pixels and knows these {count} "
            "classes only: any photo gets one of them.",
        ]
    )
