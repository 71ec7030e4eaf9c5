"""What report and page say of the data set, and of another one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.datasets.dataset import read_dataset
from cifar_tricks.evidence.evidence import MOST_CLASSES
from cifar_tricks.evidence.study_results import StudyResults
from cifar_tricks.parameters.protocol import (
    dataset,
    dataset_spec,
    is_cifar10,
    is_part,
    protocol,
)
from cifar_tricks.parameters.schema import Params
from cifar_tricks.report.findings import Findings
from cifar_tricks.report.markdown import Markdown
from cifar_tricks.report.side_by_side import carried_counts, carried_csv, carried_table

# What has to be equal for two scales to train in the same way.
ALIKE = {"train_images", "validation_images", "num_epochs", "precision", "threads", "device"}


def data_context(study: StudyResults) -> dict[str, Any]:
    """The names by which templates ask for it."""
    of_cifar10 = is_cifar10(study.params)
    return {
        "dataset": study.dataset,
        "dataset_notes": _notes(study),
        "of_cifar10": of_cifar10,
        "is_part": is_part(study.params),
        "few_classes": len(study.dataset.class_names) <= MOST_CLASSES,
        "beside": find_beside(study.params),
        # What the original report calls a section's subject.
        "task": lambda name: Markdown(f" ({name})" if of_cifar10 else ""),
    }


def _notes(study: StudyResults) -> tuple[str, ...]:
    """What the import did to the images, as far as it is known here."""
    try:
        spec, imported = read_dataset()
    except UserError:
        return study.dataset.notes
    return imported.notes if spec == dataset_spec(study.params) else study.dataset.notes


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Another scale, whose findings are compared with this one's.

    Args:
        first: its findings.
        second: this one's.
        title: what texts call its data set.
        alike: whether both train in the same way.
    """

    first: Findings
    second: Findings
    title: str
    alike: bool

    @property
    def table(self) -> Markdown:
        """Both, trick by trick."""
        return carried_table(self.first, self.second)

    @property
    def counts(self) -> str:
        """How many findings hold at both."""
        return carried_counts(self.first, self.second)

    @property
    def csv(self) -> str:
        """The table with all digits."""
        return carried_csv(self.first, self.second)


def find_beside(params: Params) -> Beside | None:
    """The scale that ``beside`` names; None where none is named, or it has no report yet."""
    other = params.scales[params.scale].beside
    folder = Path("reports") / (other or "")
    if not other or not all(
        (folder / name).exists() for name in ("comparisons.csv", "results.csv")
    ):
        return None
    sizes = [
        params.scales[name].model_dump(include=ALIKE)
        | {"train": protocol(params, name), "improve": params.improve_at.get(name)}
        for name in (other, params.scale)
    ]
    return Beside(
        first=Findings(other),
        second=Findings(params.scale),
        title=dataset(params, other).title,
        alike=sizes[0] == sizes[1],
    )
