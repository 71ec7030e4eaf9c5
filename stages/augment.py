"""Writes one randomly cropped and flipped copy of every image of the training file.

A run takes the copies of its own training split only
(cifar_tricks.training.images.make_training_data), so one file serves every seed's split and nothing
of a validation image reaches training.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes ``data/augmented.safetensors`` and a marker that orders the trainings behind it."""
    from cifar_tricks.parameters.load import load_params

    params = load_params()

    from cifar_tricks.base.arrays import read_arrays
    from cifar_tricks.base.files import write_atomically
    from cifar_tricks.training.recipe import COPIES_FILE, TRAIN_FILE
    from cifar_tricks.tricks.augment import Augment, write_copies

    write_copies(read_arrays(TRAIN_FILE), COPIES_FILE, Augment(**params.tricks.get("augment", {})))
    write_atomically(Path("data/augment.done"), b"done\n")


if __name__ == "__main__":
    run(main)
