"""Scores every trained net on the test images: ``reports/<scale>/metrics.json``."""

from pathlib import Path

from _run import run


def main(argv: list[str]) -> None:
    """Writes metrics.json and predictions.csv.gz of all variants."""
    from cifar_tricks.params import load_params, variants

    params = load_params()

    from cifar_tricks.files import write_atomically
    from cifar_tricks.runs import to_json
    from cifar_tricks.scoring import metrics, score_variants, test_labels, write_predictions

    runs, scores = score_variants(params, list(variants(params)))
    folder = Path("reports") / params.scale
    write_predictions(folder / "predictions.csv.gz", test_labels(), scores)
    write_atomically(folder / "metrics.json", to_json(metrics(params, runs, scores)))


if __name__ == "__main__":
    run(main)
