"""Writes the report: ``reports/<scale>/report.md``, ``summary.json`` and ``results.csv``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes the report from runs, metrics.json, predictions.csv.gz, figures and manifest.

    Args:
        argv: no arguments.
    """
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv:
        raise UserError(f"report takes no arguments, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks.evidence.predictions import read_predictions
    from cifar_tricks.evidence.study_results import read_study, report_folder
    from cifar_tricks.report.write import write_report

    study = read_study(params)
    folder = report_folder(params)
    predictions = read_predictions(folder / "predictions.csv.gz", len(study.dataset.class_names))
    write_report(study, predictions, folder)
    print(folder / "report.md")


if __name__ == "__main__":
    run(main)
