"""Draws the results into ``reports/<scale>/figures`` and writes the tables of DVC's plots."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes all figures and plot tables from runs, metrics.json and predictions.csv.gz.

    Args:
        argv: no arguments.
    """
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv:
        raise UserError(f"visualize takes no arguments, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks.evidence.predictions import read_predictions
    from cifar_tricks.evidence.study_results import read_study, report_folder
    from cifar_tricks.figures.pictures import write_pictures
    from cifar_tricks.figures.plot_tables import write_plot_tables
    from cifar_tricks.figures.write import write_figures

    study = read_study(params)
    folder = report_folder(params)
    predictions = read_predictions(folder / "predictions.csv.gz", len(study.dataset.class_names))
    write_figures(study, predictions, folder / "figures")
    write_plot_tables(study, predictions, folder / "plots")
    write_pictures(study, folder)


if __name__ == "__main__":
    run(main)
