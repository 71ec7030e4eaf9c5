"""Trains one variant, all seeds of the chosen scale: ``train.py KEY``, e.g. model1-leaky_relu."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Checks params.yaml before the slow imports."""
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if len(argv) != 1:
        raise UserError(f"train takes the key of a variant, got {' '.join(argv) or 'nothing'}")
    (key,) = argv
    params = load_params()

    from cifar_tricks.runs.ahead import take_ahead
    from cifar_tricks.runs.folders import LEFT_OUT, run_folder

    if take_ahead(params, key, stage=os.environ.get("DVC_STAGE", "")):
        left_out = (run_folder(params.scale, key) / LEFT_OUT).exists()
        print(f"{key}: {'left out' if left_out else 'trained already'}, published")
        return

    from cifar_tricks.runs.train import train_variant

    train_variant(params, key)


if __name__ == "__main__":
    run(main)
