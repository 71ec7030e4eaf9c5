"""The study's charts of comparisons, steps and classes, by name: for the page and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cifar_tricks.charts.intervals import ChartRow, common_domain, interval_chart
from cifar_tricks.charts.vega_lite import Spec, heat_map
from cifar_tricks.evidence.cells import setting
from cifar_tricks.evidence.effects import Effect, Family
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.factorials import Factorial
from cifar_tricks.evidence.ingredients.cells import ingredient
from cifar_tricks.evidence.ingredients.read import Ingredients
from cifar_tricks.evidence.statistics import Interval, summarise
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.evidence.verdicts import direction
from cifar_tricks.parameters.protocol import follows_original

AXIS = "difference in test accuracy"
# Differences beyond it are told in words beside those of ingredients.
OFF_AXIS = 0.2
FEWEST = 3  # seeds, for an interval beside others


def effect_charts(evidence: Evidence) -> dict[str, Spec]:
    """The tricks against their baseline, a chart per net: by the net's name, all on one axis."""
    by_model = {}
    for model in evidence.study.params.models:
        effects = evidence.tricks.of(model)
        labels = [effect.result.variant.trick for effect in effects]
        by_model[model] = effect_rows(evidence.study, effects, labels)
    theirs = ", and the original report's" if follows_original(evidence.study.params) else ""
    domain = common_domain([row for rows in by_model.values() for row in rows], include=(0.0,))
    return {
        model: interval_chart(
            rows,
            title=f"{model}: {AXIS} from the baseline{theirs}. {_said(rows)}",
            axis=AXIS,
            domain=domain,
        )
        for model, rows in by_model.items()
    }


def ladder_chart(evidence: Evidence) -> Spec | None:
    """The steps of ``improve`` after their baselines; None where there is no step."""
    goal = evidence.study.goal
    rows = [_step_row(result, goal) for result in evidence.steps]
    if not rows:
        return None
    aim = f"; the goal is {goal:.2f}" if goal else ""
    return interval_chart(
        rows,
        title=f"Test accuracy of each step{aim}. {_said(rows)}",
        axis="test accuracy",
        domain=common_domain(rows, include=(goal,) if goal else ()),
        rule=goal,
        signed=False,
    )


def ingredient_charts(found: Ingredients) -> dict[str, Spec]:
    """The recipe with each change, the largest loss on top, and single tricks on each net, the
    largest gain on top: by what they are compared with."""
    charts = {}
    for name, family in found.families.items():
        shown = [(e.comparison.summary.mean, e) for e in family.effects if e.comparison]
        ordered = sorted(shown, key=lambda one: one[0], reverse=name in found.alone)
        effects = [effect for _, effect in ordered]
        rows = effect_rows(found.study, effects, [ingredient(effect) for effect in effects])
        if rows := [within_axis(row) for row in rows]:
            charts[name] = interval_chart(
                rows,
                title=f"{AXIS[0].upper()}{AXIS[1:]} from {name}. {_said(rows)}",
                axis=AXIS,
                domain=common_domain(rows, include=(0.0,)),
            )
    return charts


def within_axis(row: ChartRow) -> ChartRow:
    """The row without what would hide what all others differ by: the interval of two seeds, and
    whatever its nets say that learned little or nothing."""
    if row.mean is None or abs(row.mean) <= OFF_AXIS:
        return row if len(row.values) >= FEWEST else replace(row, interval=None)
    side = "left" if row.mean < 0 else "right"
    return ChartRow(
        label=row.label, mean=None, flaw=f"{row.mean:+.4f}, off the axis", flaw_side=side
    )


def factorial_chart(factorial: Factorial) -> Spec | None:
    """Main effects and interactions; None where there are holes."""
    rows = [
        ChartRow(
            label=" \N{MULTIPLICATION SIGN} ".join(contrast.tricks),
            mean=contrast.comparison.summary.mean,
            interval=contrast.comparison.summary.interval,
            tone=direction(contrast.comparison.summary, contrast.adjusted_p),
            note="main effect" if len(contrast.tricks) == 1 else "interaction",
        )
        for contrast in factorial.contrasts
    ]
    if not rows:
        return None
    return interval_chart(
        rows,
        title=f"{factorial.model}: main effects and interactions. {_said(rows)}",
        axis="effect on test accuracy",
        domain=common_domain(rows, include=(0.0,)),
    )


def sensitivity_chart(study: StudyResults, family: Family) -> Spec | None:
    """The settings of task 3a against the baselines; None where there are none."""
    if not family.effects:
        return None
    labels = [f"{e.result.variant.model}: {setting(study, e.result)}" for e in family.effects]
    rows = effect_rows(study, family.effects, labels)
    return interval_chart(
        rows,
        title=f"Other settings: {AXIS} from the baseline. {_said(rows)}",
        axis=AXIS,
        domain=common_domain(rows, include=(0.0,)),
    )


def confusion_chart(evidence: Evidence, best: Result) -> Spec:
    """The confusion matrix of the best net."""
    shares, labels = evidence.confusion, evidence.shown_classes
    names = {label: evidence.study.dataset.class_names[label] for label in labels}
    cells = [
        {
            "actual": actual,
            "predicted": predicted,
            "share": round(float(shares[i, j]), 5),
            "text": f"{100 * shares[i, j]:.0f}".lstrip("0"),
        }
        for i, actual in names.items()
        for j, predicted in names.items()
    ]
    title = f"Confusion matrix of {best.key}, in percent of each actual class"
    return heat_map(cells, [*names.values()], title=title)


def effect_rows(
    study: StudyResults, effects: Sequence[Effect], labels: Sequence[str]
) -> list[ChartRow]:
    """A line per comparison."""
    return [
        ChartRow(
            label=label,
            mean=effect.comparison.summary.mean if effect.comparison else None,
            interval=effect.comparison.summary.interval if effect.comparison else None,
            values=study.differences(effect.result),
            original=effect.original,
            tone=direction(
                effect.comparison.summary if effect.comparison else None, effect.adjusted_p
            ),
            flaw=effect.flaw,
            note=effect.verdict or "no claim",
        )
        for effect, label in zip(effects, labels, strict=True)
    ]


def _step_row(result: Result, goal: float | None) -> ChartRow:
    mean = result.mean("test_accuracy")
    return ChartRow(
        label=result.key if result.variant.group == "tricks" else result.variant.trick,
        mean=mean,
        interval=accuracy_interval(result),
        values=result.values("test_accuracy"),
        original=result.original.get("test_accuracy"),
        tone="better" if goal and (mean or 0) >= goal else "plain",
        flaw=result.flaw,
    )


def accuracy_interval(result: Result) -> Interval | None:
    """The 95% interval of a variant's mean test accuracy over seeds."""
    values = result.values("test_accuracy")
    return summarise(values).interval if values else None


def _said(rows: Sequence[ChartRow]) -> str:
    """The values of a chart in words, for those who cannot see it."""
    return " ".join(
        f"{row.label}: {row.flaw or 'no value'}."
        if row.mean is None
        else f"{row.label}: {row.mean:.4f}."
        for row in rows
    )
