"""The ladder at the top of report and page: no trick, the original's best, today's tricks."""

from __future__ import annotations

from cifar_tricks.charts.results import accuracy_interval
from cifar_tricks.evidence.cells import in_views, interval, mean_and_spread
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.study_results import Result
from cifar_tricks.report.markdown import Markdown, table


def ladder(evidence: Evidence) -> list[dict[str, str]]:
    """The rungs that have a result at this scale, cells by title; none where there are fewer than
    two."""
    found = {title: one for title, one in evidence.rungs.items() if one.values("test_accuracy")}
    rows = [{"": title} | _rung(result) for title, result in found.items()]
    return rows if len(rows) > 1 else []


def missing_rungs(evidence: Evidence) -> list[str]:
    """The others, by name and reason."""
    rungs = evidence.rungs.items()
    return [f"{title} ({one.key}: {one.flaw})" for title, one in rungs if one.flaw]


def ladder_table(evidence: Evidence) -> Markdown:
    """The same for the report."""
    rows = ladder(evidence)
    return table([*rows[0]], [[*row.values()] for row in rows], "llrrrll")


def _rung(result: Result) -> dict[str, str]:
    recipe, origins = result.variant.recipe, result.run.origins if result.run else []
    ends = "the last weights"
    if recipe.early_stop_count:
        ends = "early stopping"
    epochs = f"{'at most ' * (ends == 'early stopping')}{recipe.num_epochs} epochs"
    return {
        "net": result.key,
        "n": str(len(result.seeds)),
        "test accuracy": mean_and_spread(result.values("test_accuracy")) + in_views(result),
        "95% interval": interval(accuracy_interval(result), signed=False),
        "training": f"{recipe.train_images:,} images, {epochs}, {ends}, {recipe.precision}",
        "device": ", ".join(sorted({origin.device_name for origin in origins})),
    }
