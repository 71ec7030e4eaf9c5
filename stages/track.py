"""Logs every variant of the chosen scale to MLflow, once, and registers the best net."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Logs what is not logged yet."""
    from cifar_tricks.parameters.load import load_params

    params = load_params()

    from cifar_tricks.base.errors import UserError
    from cifar_tricks.tracking.registry import champion_uri, register
    from cifar_tricks.tracking.track import track

    folder = Path("reports") / params.scale
    try:
        metrics = json.loads((folder / "metrics.json").read_bytes())
        keys = list(metrics["variants"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/metrics.json cannot be read: dvc repro writes it") from error
    done = track(params, keys, metrics, folder=folder, study=True)
    version = register(params.scale, folder)
    print(
        f"{done.new} of {done.total} variants are new in MLflow at {done.store}; see them: make ui"
    )
    if version:
        print(f"{champion_uri(params.scale)} is version {version}")


if __name__ == "__main__":
    run(main)
