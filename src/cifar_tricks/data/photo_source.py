"""The photo for the activation pictures: the original report's zebra, else one at hand.

Where the zebra cannot be had, a photo takes its place that scikit-learn brings along. Source:
flickr.com/photos/vultilion/6056698931, CC BY 2.0, as scikit-learn's list of its images states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cifar_tricks.base.files import write_atomically
from cifar_tricks.data.assets import Asset, Http, Installed, Source
from cifar_tricks.data.fetch import fetch

PHOTO_FILE = Path("data/images/photo.jpg")
# Which of the photos it is.
NAME_FILE = PHOTO_FILE.with_name("photo.txt")

PHOTO = Asset(
    name="photo",
    sources=(
        Source(
            file_name="zebra.jpg",
            sha256="120425d3ba5adcfc50fa3609b39564791bd03228c03750fd7088ace5c0116a9a",
            num_bytes=12_042,
            via=Http(
                url="https://raw.githubusercontent.com/Eeaeau/TDT4265_StarterCode/"
                "91ccbd6ba99a503b10b3cd32ac4acb8ac501f4e0/assignment3/images/zebra.jpg"
            ),
        ),
        Source(
            file_name="flower.jpg",
            sha256="a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
            num_bytes=142_987,
            via=Installed(package="sklearn", path="datasets/images/flower.jpg"),
        ),
    ),
)
DESCRIPTIONS = {
    "zebra.jpg": ("the zebra", " of the original report"),
    "flower.jpg": (
        "scikit-learn's flower.jpg (photo: vultilion on Flickr, CC BY 2.0)",
        ", in place of the original report's zebra",
    ),
}


def fetch_photo(downloads: Path, *, asset: Asset = PHOTO) -> dict[str, dict[str, Any]]:
    """Writes the photo to PHOTO_FILE.

    Args:
        downloads: the download folder.
        asset: where the photo comes from.

    Returns:
        What the manifest says: ``assets`` and ``files``.

    Raises:
        UserError: there is none.
    """
    fetched = fetch(asset, downloads)
    write_atomically(PHOTO_FILE, fetched.path.read_bytes())
    write_atomically(NAME_FILE, f"{fetched.path.name}\n".encode())
    entry = {"sha256": fetched.sha256, "bytes": fetched.num_bytes}
    return {
        "assets": {asset.name: fetched.manifest_entry()},
        "files": {PHOTO_FILE.as_posix(): entry},
    }


def describe_photo(*, of_original: bool = True) -> str:
    """What the caption calls the photo in PHOTO_FILE.

    Args:
        of_original: whether it says what the photo is to the original report.
    """
    try:
        what, place = DESCRIPTIONS[NAME_FILE.read_text(encoding="utf-8").strip()]
        return what + place if of_original else what
    except (OSError, KeyError):
        return PHOTO_FILE.name
