"""Evaluates and logs the one variant that `model` and `trick` of params.yaml name.

``dvc exp run -S trick=leaky_relu experiment`` trains it where it is not trained yet.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes ``reports/experiment/metrics.json`` and ``curves.csv``, and logs to MLflow."""
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.variants import planned_variants

    params = load_params()

    from cifar_tricks.base.files import write_atomically
    from cifar_tricks.base.signed_json import to_json
    from cifar_tricks.evaluation.score_files import experiment_metrics, metrics
    from cifar_tricks.evaluation.scoring import score_variants
    from cifar_tricks.evidence.study_results import Result
    from cifar_tricks.figures.plot_tables import write_curves
    from cifar_tricks.tracking.store import find_store
    from cifar_tricks.tracking.track import track_or_keep

    find_store()  # an address that is none is told before the work
    key, folder = f"{params.model}-{params.trick}", Path("reports/experiment")
    variant = planned_variants(params)[key]
    if reason := variant.left_out:
        raise UserError(f"{key} is left out: {reason}")
    runs, scores = score_variants(params, [key])
    write_atomically(folder / "metrics.json", to_json(experiment_metrics(runs[key], scores)))
    result = Result(variant=variant, seeds=params.seeds, run=runs[key], scores={})
    write_curves(result, folder / "curves.csv")
    track_or_keep(params, [key], metrics(params, runs, scores), folder=folder)


if __name__ == "__main__":
    run(main)
