"""The effect of a trick against the length of the training, a small chart per trick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cifar_tricks.charts.intervals import labels
from cifar_tricks.charts.vega_lite import NUM_COLOURS, Spec, make_spec
from cifar_tricks.evidence.budget import Budget

HEIGHT = 170
LEAST_RANGE = 0.03
DASHES = ([1, 0], [6, 3], [2, 2])
AXIS = "difference in validation accuracy"


def net_colours(models: Iterable[str]) -> dict[str, str]:
    """The colour of each net, in the order of params.yaml."""
    return {name: f"var(--trick{place % NUM_COLOURS})" for place, name in enumerate(models)}


def budget_charts(found: Sequence[Budget], colours: Mapping[str, str]) -> dict[str, Spec]:
    """A chart per trick that has a curve on some net, by the trick's name.

    All have the same horizontal axis. Each has a vertical one of its own: the largest effects would
    flatten the small ones, whose sign is the question.

    Args:
        found: of :func:`cifar_tricks.evidence.budget.budgets`.
        colours: of the nets, see :func:`net_colours`.
    """
    points = [point for budget in found for point in budget.points]
    if not points:
        return {}
    width = max(point.epoch for point in points)
    tricks = dict.fromkeys(one.result.variant.trick for one in found if one.points)
    return {
        trick: _chart([one for one in found if one.result.variant.trick == trick], colours, width)
        for trick in tricks
    }


def _chart(found: Sequence[Budget], colours: Mapping[str, str], width: float) -> Spec:
    nets, points = [*colours], [point for one in found for point in one.points]
    low = min(-LEAST_RANGE, *(point.low for point in points))
    high = max(LEAST_RANGE, *(point.high for point in points))
    domain = round(low - 0.005, 3), round(high + 0.005, 3)
    rows = [
        {
            "net": one.result.variant.model,
            "epoch": point.epoch,
            "n": point.n,
            **{name: round(getattr(point, name), 5) for name in ("difference", "low", "high")},
        }
        for one in found
        for point in one.points
    ]
    ends = [*{row["net"]: row for row in rows}.values()]
    x: Spec = {"field": "epoch", "type": "quantitative", "title": "length of the training, epochs"}
    x["scale"] = {"domain": [0, width * 1.08], "nice": False}
    y: Spec = {"type": "quantitative", "scale": {"domain": [*domain], "nice": False}}
    y["axis"] = {"title": AXIS, "tickCount": 4, "labelExpr": labels(domain, "+")}
    colour: Spec = {"field": "net", "type": "nominal", "legend": None}
    colour["scale"] = {"domain": nets, "range": [colours[net] for net in nets]}
    dashes = {"domain": nets, "range": [DASHES[place % len(DASHES)] for place in range(len(nets))]}
    dash = {"field": "net", "type": "nominal", "legend": None, "scale": dashes}
    place: Spec = {"x": x, "color": colour}
    mean = place | {"y": y | {"field": "difference"}}
    shown: list[Spec] = [{"field": name, "title": name} for name in ("net", "epoch", "n")]
    shown += [
        {"field": name, "title": title, "format": "+.4f"}
        for name, title in (("difference", "difference"), ("low", "95% from"), ("high", "to"))
    ]
    trick = found[0].result.variant.trick
    last = "; ".join(
        f"{one.result.variant.model} {one.points[0].difference:+.3f} after {one.points[0].epoch:g} "
        f"epochs, {one.points[-1].difference:+.3f} after {one.points[-1].epoch:g}"
        for one in found
        if one.points
    )
    title = f"{trick}: {AXIS} from the baseline against the length of the training. {last}"
    return make_spec(title, HEIGHT) | {
        "data": {"values": rows},
        "layer": [
            {
                "data": {"values": [{"at": 0}]},
                "mark": {"type": "rule", "color": "var(--muted)"},
                "encoding": {"y": y | {"field": "at"}},
            },
            {
                "mark": {"type": "area", "opacity": 0.18, "line": False},
                "encoding": place | {"y": y | {"field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": mean | {"strokeDash": dash}},
            {
                "mark": {"type": "point", "filled": True, "size": 20, "opacity": 1},
                "encoding": mean | {"tooltip": shown},
            },
            # Above its curve for the first net, below for the others.
            *(
                {
                    "data": {"values": [row | {"label": f"n = {row['n']}"}]},
                    "mark": {"type": "text", "align": "left", "fontSize": 11}
                    | {"dx": 6, "dy": -9 if row["net"] == nets[0] else 10},
                    "encoding": mean | {"text": {"field": "label"}},
                }
                for row in ends
            ),
        ],
    }
