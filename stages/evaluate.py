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
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv not in ([], ["--partial"]):
        raise UserError(f"evaluate takes --partial or nothing, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks.parameters.variants import trainable_variants
    from cifar_tricks.runs.checks import check_complete
    from cifar_tricks.training.backbones import check_choice

    trainable = trainable_variants(params)
    planned = [key for key, variant in trainable.items() if not variant.left_out]
    if not argv:
        check_choice()
        check_complete(params.scale, dict.fromkeys(planned, params.seeds))

    # Slow to import.
    from cifar_tricks.base.files import write_atomically
    from cifar_tricks.base.signed_json import to_json
    from cifar_tricks.evaluation import score_files, scoring, test_images
    from cifar_tricks.evidence.study_results import read_study

    keys = scoring.trained_keys(params)
    runs, scored = scoring.score_variants(params, keys)
    if missing := [key for key in planned if key not in keys]:
        print(f"not trained, so not scored: {', '.join(missing)}", flush=True)
    folder = Path("reports") / params.scale
    labels = test_images.test_labels(params.scales[params.scale].test_images)
    score_files.write_predictions(folder / "predictions.csv.gz", labels, scored)
    score_files.write_calibration(folder / "calibration.csv", scored)
    write_atomically(folder / "metrics.json", to_json(score_files.metrics(params, runs, scored)))
    # The pictures are drawn elsewhere, where the test file is out of reach.
    best = read_study(params).best
    shown = next((score for score in scored if best and score.key == best.key), scored[0])
    test_images.write_examples(folder / "examples.safetensors", shown)


if __name__ == "__main__":
    run(main)
