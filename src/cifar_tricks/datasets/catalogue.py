"""Which data sets there are, and what is known of each before it is fetched.

Every process that reads params.yaml looks here, so that nothing slow is imported.
"""

from __future__ import annotations

from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.base.wording import choose_from
from cifar_tricks.datasets.dataset import Dataset, read_dataset

CIFAR10 = Dataset(
    name="cifar10",
    title="CIFAR-10",
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    image_size=32,
    train_images=50_000,
    test_images=10_000,
)
DIGITS = Dataset(
    name="digits",
    title="handwritten digits",
    class_names=tuple("0123456789"),
    image_size=28,
    train_images=1_297,
    test_images=500,
)
NAMED = {dataset.name: dataset for dataset in (CIFAR10, DIGITS)}
FOLDER_MARK = "folder:"
FOLDER_IMAGE_SIZE = 32


def look(spec: str) -> Dataset:
    """What is known of a data set without its images.

    Args:
        spec: one of NAMED, or ``folder:PATH``.

    Returns:
        The data set; its content hash and notes come with the import.

    Raises:
        ValueError: there is none of this name, or no such folder.
    """
    if not spec.startswith(FOLDER_MARK):
        if spec not in NAMED:
            raise ValueError(f"unknown; {choose_from(spec, [*NAMED, FOLDER_MARK + 'PATH'])}")
        return NAMED[spec]
    folder = project_root() / Path(spec.removeprefix(FOLDER_MARK)).expanduser()
    if not folder.is_dir():
        if (imported := _imported(spec)) is not None:
            return imported
        raise ValueError("there is no such folder")
    return _listed(folder)


def _imported(spec: str) -> Dataset | None:
    """A data set whose source lies on another machine, as it was imported there."""
    try:
        known, dataset = read_dataset()
    except UserError:
        return None
    return dataset if known == spec else None


def _listed(folder: Path) -> Dataset:
    names = sorted(
        path.name
        for path in (folder / "train").iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    counts = [
        sum(
            not path.name.startswith(".")
            for name in names
            if (folder / split / name).is_dir()
            for path in (folder / split / name).iterdir()
        )
        for split in ("train", "test")
    ]
    return Dataset(
        name="folder",
        title=folder.name,
        class_names=tuple(names),
        image_size=FOLDER_IMAGE_SIZE,
        train_images=counts[0],
        test_images=counts[1],
    )


def fingerprint(spec: str) -> str:
    """Changes when the source of a data set does: that of a named one never does."""
    return look(spec).name
