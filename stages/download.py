"""Stage `download`: data set, backbone and photo, each from the first source that answers."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Fetch, decode and write all that comes from elsewhere, and say where it came from."""
    from cifar_tricks.base.errors import UserError
    from cifar_tricks.parameters.load import load_params

    if argv:
        raise UserError(f"download takes no arguments, got {' '.join(argv)}")
    params = load_params()

    from cifar_tricks.base.files import project_root, write_atomically
    from cifar_tricks.data.backbone_weights import fetch_backbone
    from cifar_tricks.data.photo_source import fetch_photo
    from cifar_tricks.datasets.dataset import FOLDER
    from cifar_tricks.datasets.importers import import_dataset
    from cifar_tricks.parameters.protocol import dataset_spec

    # No output, which DVC would delete before a run; shared with queued experiments' checkouts.
    downloads = project_root() / "data" / "downloads"
    _, manifest = import_dataset(dataset_spec(params), FOLDER)
    for part in (fetch_backbone(params.transfer.backbones, downloads), fetch_photo(downloads)):
        for section, entries in part.items():
            manifest[section] = manifest.get(section, {}) | entries
    write_atomically(Path("data/manifest.json"), (json.dumps(manifest, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
