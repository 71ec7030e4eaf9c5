"""Solves the exercises of the original's task 1: ``reports/<scale>/exercises.json``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes exercises.json and the picture of the experiment in exercise (b).

    Args:
        argv: no arguments.
    """
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv:
        raise UserError(f"exercises takes no arguments, got {' '.join(argv)}")
    params = load_params()

    from functools import partial

    from cifar_tricks.base.files import write_atomically
    from cifar_tricks.base.signed_json import to_json
    from cifar_tricks.evidence.study_results import report_folder
    from cifar_tricks.exercises.solutions import FIGURE, FILE
    from cifar_tricks.exercises.solve import solve_all
    from cifar_tricks.figures.shift import HEIGHT, draw_shift
    from cifar_tricks.figures.style import save_figure

    folder = report_folder(params)
    content = solve_all(params, folder)
    write_atomically(folder / FILE, to_json(content))
    # There even when empty: DVC expects it.
    (folder / FIGURE).parent.mkdir(exist_ok=True)
    if content["shift"]:
        save_figure(folder / FIGURE, HEIGHT, partial(draw_shift, shift=content["shift"]))


if __name__ == "__main__":
    run(main)
