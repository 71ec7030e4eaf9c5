"""Scores every net on the test images: ``reports/<scale>/metrics.json``.

All of them have to be here, each with all its seeds. ``evaluate.py --partial`` scores those that
are, for `make page` of a study that is not complete yet.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes metrics.json, predictions.csv.gz, calibration.csv and some examples.

    Args:
        argv: nothing, or ``--partial``.
    """
    from cifar_tricks.errors import UserError
    from cifar_tricks.params import load_params

    if argv not in ([], ["--partial"]):
        raise UserError(f"evaluate takes --partial or nothing, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks import scores, scoring
    from cifar_tricks.backbones import check_choice
    from cifar_tricks.files import write_atomically
    from cifar_tricks.results import read_study
    from cifar_tricks.run_checks import check_complete
    from cifar_tricks.runs import to_json

    planned = scoring.planned_keys(params)
    if not argv:
        check_choice()
        check_complete(params.scale, dict.fromkeys(planned, params.seeds))
    keys = scoring.trained_keys(params)
    runs, scored = scoring.score_variants(params, keys)
    if missing := [key for key in planned if key not in keys]:
        print(f"not trained, so not scored: {', '.join(missing)}", flush=True)
    folder = Path("reports") / params.scale
    scores.write_predictions(folder / "predictions.csv.gz", scoring.test_labels(params), scored)
    scores.write_calibration(folder / "calibration.csv", scored)
    write_atomically(folder / "metrics.json", to_json(scores.metrics(params, runs, scored)))
    # The pictures are drawn elsewhere, where the test file is out of reach.
    best = read_study(params).best
    shown = next((score for score in scored if best and score.key == best.key), scored[0])
    scoring.write_examples(folder / "examples.safetensors", params, shown)


if __name__ == "__main__":
    run(main)
