"""Scores every trained net on the test images: ``reports/<scale>/metrics.json``."""

from pathlib import Path

from _run import run


def main(argv: list[str]) -> None:
    """Writes metrics.json and predictions.csv.gz of all variants, and some examples."""
    from cifar_tricks.params import load_params

    params = load_params()

    import cifar_tricks.scoring as scoring
    from cifar_tricks.files import write_atomically
    from cifar_tricks.results import read_study
    from cifar_tricks.runs import to_json

    runs, scores = scoring.score_variants(params, scoring.trained_keys(params))
    folder = Path("reports") / params.scale
    scoring.write_predictions(folder / "predictions.csv.gz", scoring.test_labels(params), scores)
    write_atomically(folder / "metrics.json", to_json(scoring.metrics(params, runs, scores)))
    # The pictures are drawn elsewhere, where the test file is out of reach.
    best = read_study(params).best
    shown = next((score for score in scores if best and score.key == best.key), scores[0])
    scoring.write_examples(folder / "examples.safetensors", params, shown)


if __name__ == "__main__":
    run(main)
