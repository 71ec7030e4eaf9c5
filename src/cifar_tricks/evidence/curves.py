"""Learning curves: read from ``history.csv``, lined up by epoch, averaged over seeds."""

from __future__ import annotations

import io

import pandas as pd

from cifar_tricks.evidence.study_results import Result
from cifar_tricks.runs.folders import HISTORY_COLUMNS, read_history


def read_curves(result: Result) -> pd.DataFrame:
    """The learning curves of all seeds.

    Epochs are rounded to the schedule of the validations: where the steps of an epoch do not
    divide evenly, runs of different length still line up.

    Args:
        result: of a variant; a seed without a history adds no rows.

    Returns:
        Columns seed, step, epoch, split (train or validation), loss (nats), accuracy ([0, 1]);
        NaN where a training diverged.

    Raises:
        UserError: a history is missing or damaged.
    """
    frames = [pd.DataFrame(columns=["seed", *HISTORY_COLUMNS])]
    run = result.run
    histories = {seed: read_history(run, seed) for seed in run.seeds} if run else {}
    for seed, history in histories.items():
        frame = pd.read_csv(io.StringIO(history))[list(HISTORY_COLUMNS)]
        numbers = frame[["step", "epoch", "loss", "accuracy"]].astype(float)
        per_epoch = result.variant.recipe.validations_per_epoch
        numbers["epoch"] = (numbers["epoch"] * per_epoch).round() / per_epoch
        frames.append(numbers.assign(split=frame["split"], seed=seed))
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def mean_curve(
    curves: pd.DataFrame, *, split: str, value: str, seeds: tuple[int, ...], by: str = "epoch"
) -> pd.Series:
    """Mean over seeds at each point that all of them reached with a finite value.

    A mean over the seeds that happen to be left after the others stopped or diverged would jump
    for no reason of training, so it ends where the first of them does.

    Args:
        curves: of :func:`read_curves`.
        split: train or validation.
        value: loss or accuracy.
        seeds: all that must be there.
        by: epoch or step.

    Returns:
        The means, indexed by epoch or step.
    """
    part = curves[(curves["split"] == split) & curves["seed"].isin(seeds)]
    table = part.pivot_table(index=by, columns="seed", values=value, aggfunc="last")
    table = table.reindex(columns=list(seeds)).astype(float)
    table = table.where(table.abs() != float("inf"))
    return table.mean(axis=1, skipna=False).dropna()
