"""Learning curves as Vega-Lite: their points from the histories, and the chart of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cifar_tricks.charts.vega_lite import Spec, make_spec
from cifar_tricks.evidence.curves import mean_curve
from cifar_tricks.evidence.study_results import Result

HEIGHT = 380
SPLITS, VALUES = ("train", "validation"), ("loss", "accuracy")


def curve_points(
    result: Result,
    curves: pd.DataFrame,
    *,
    by: str = "step",
    unit: int = 1,
    most_seeds: int | None = None,
) -> list[dict[str, Any]]:
    """The means over the seeds that trained, and the single seeds.

    Args:
        result: of a variant.
        curves: its own, of :func:`cifar_tricks.evidence.curves.read_curves`.
        by: epoch or step.
        unit: how many of these are one on the horizontal axis.
        most_seeds: of a variant with more of them the means alone; None for no limit.

    Returns:
        With name (the trick), net, split (train or validation), seed ("" for the mean), x, loss
        (nats) and accuracy ([0, 1]), None where not finite.
    """
    seeds = tuple(seed for seed in result.seeds if seed in set(curves["seed"]))
    single = seeds if 1 < len(seeds) <= (most_seeds or len(seeds)) else ()
    tables = {("", split): _means(curves, split, seeds, by) for split in SPLITS if seeds}
    for (seed, split), table in curves[curves["seed"].isin(single)].groupby(["seed", "split"]):
        tables[str(seed), split] = table.set_index(by)[[*VALUES]]
    of_result = {"name": result.variant.trick, "net": result.variant.model}
    return [
        of_result | {"split": split, "seed": seed} | point
        for seed, split in [(seed, split) for seed in ("", *map(str, single)) for split in SPLITS]
        if (seed, split) in tables
        for point in _points(tables[seed, split], unit)
    ]


def kept_points(result: Result, curves: pd.DataFrame, *, by: str = "step") -> list[dict[str, Any]]:
    """The validations of the kept weights, one per seed: name, x, loss and accuracy."""
    best = {seed: one.best_step for seed, one in result.run.seeds.items()} if result.run else {}
    kept = curves[(curves["split"] == "validation") & (curves["step"] == curves["seed"].map(best))]
    points = _points(kept.set_index(by)[[*VALUES]], 1)
    return [{"name": result.variant.trick} | point for point in points]


def _means(curves: pd.DataFrame, split: str, seeds: tuple[int, ...], by: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            value: mean_curve(curves, split=split, value=value, seeds=seeds, by=by)
            for value in VALUES
        }
    )


def _points(table: pd.DataFrame, unit: int) -> list[dict[str, Any]]:
    """The rows with a finite value, by their index."""
    rows = zip(table.index, table["loss"], table["accuracy"], strict=True)
    return [
        {"x": round(float(place) / unit, 4), "loss": _rounded(loss), "accuracy": _rounded(accuracy)}
        for place, loss, accuracy in rows
        if math.isfinite(loss) or math.isfinite(accuracy)
    ]


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def curves_chart(
    colours: Mapping[str, str],
    points: Sequence[Spec] = (),
    *,
    kept: Sequence[Spec] = (),
    x_title: str = "training steps, in epochs",
    y_title: str = "",
    limit: float | None = None,
) -> Spec:
    """Learning curves, a line per name and seed: means bold, single seeds thin.

    Args:
        colours: by name.
        points: with name, x, y and seed ("" for the mean); the page's script fills in those that
            are chosen.
        kept: the kept weights, with name, x and y.
        x_title: of the horizontal axis.
        y_title: of the vertical axis.
        limit: where the vertical axis ends; None for the largest value.
    """
    scale: Spec = {"zero": False} | ({} if limit is None else {"domainMax": limit})
    names = {"domain": [*colours], "range": [*colours.values()]}
    x: Spec = {"field": "x", "type": "quantitative", "title": x_title}
    x["scale"] = {"zero": True, "nice": False}
    place: Spec = {
        "x": x | {"axis": {"tickCount": 10, "format": ",.6~g"}},
        "y": {"field": "y", "type": "quantitative", "title": y_title, "scale": scale},
        "color": {"field": "name", "type": "nominal", "legend": None, "scale": names},
    }
    line = place | {"detail": {"field": "seed"}}
    mean = "datum.seed === ''"
    thin: Spec = {"strokeOpacity": {"condition": {"test": mean, "value": 1}, "value": 0.35}}
    thin["strokeWidth"] = {"condition": {"test": mean, "value": 2}, "value": 1}
    shown = [{"field": "name", "title": "variant"}, {"field": "x", "title": "epoch"}]
    shown += [{"field": "y", "title": "mean", "format": ".4f"}]
    # Clipped only where needed: each line that is makes drawing slower.
    clip = {"clip": limit is not None}
    point: Spec = {"type": "point", "opacity": 1}
    layers: list[Spec] = [
        {"mark": {"type": "line"} | clip, "encoding": line | thin},
        {
            "transform": [{"filter": mean}],
            "mark": point | clip | {"filled": True, "size": 12},
            "encoding": line | {"tooltip": shown},
        },
    ]
    if kept:
        # Whole also at the end of an axis.
        circle = {"fill": "var(--paper)", "size": 45, "strokeWidth": 1.8}
        layers.append({"data": {"values": [*kept]}, "mark": point | circle, "encoding": place})
    return make_spec("Learning curves", HEIGHT) | {
        "data": {"values": [*points]},
        "layer": layers,
    }
