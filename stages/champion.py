"""Picks the best net and writes it with its card: ``reports/<scale>/champion``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes model.safetensors, model.json and card.md.

    Args:
        argv: no arguments.
    """
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv:
        raise UserError(f"champion takes no arguments, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks.evidence.predictions import read_predictions
    from cifar_tricks.evidence.study_results import read_study, report_folder
    from cifar_tricks.report.champion import write_champion

    study, folder = read_study(params), report_folder(params)
    predictions = read_predictions(folder / "predictions.csv.gz", len(study.dataset.class_names))
    write_champion(study, predictions, folder / "champion")


if __name__ == "__main__":
    run(main)
