"""Stage `download`: CIFAR-10, a backbone and a photo, each from the first source that answers."""

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
    from cifar_tricks.data.fetch import fetch
    from cifar_tricks.data.photo_source import fetch_photo
    from cifar_tricks.datasets.cifar10 import CIFAR10, write_split
    from cifar_tricks.datasets.cifar10_archives import decode

    # No output, which DVC would delete before a run; shared with queued experiments' checkouts.
    downloads = project_root() / "data" / "downloads"
    archive = fetch(CIFAR10, downloads)
    files = {}
    for name, split in decode(archive.path).items():
        path = Path("data/cifar10") / f"{name}.safetensors"
        files[path.as_posix()] = write_split(path, split.images, split.labels)
    manifest = {"assets": {CIFAR10.name: archive.manifest_entry()}, "files": files}
    for part in (fetch_backbone(params.transfer.backbones, downloads), fetch_photo(downloads)):
        for section, entries in part.items():
            manifest[section] = manifest.get(section, {}) | entries
    write_atomically(Path("data/manifest.json"), (json.dumps(manifest, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
