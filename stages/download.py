"""Stage `download`: CIFAR-10 from the first source that answers, as two files and a manifest."""

import json
import os
from pathlib import Path

from _run import run


def main(argv: list[str]) -> None:
    """Fetch, decode and write CIFAR-10.

    Args:
        argv: no arguments.
    """
    from cifar_tricks.cifar10 import CIFAR10, write_split
    from cifar_tricks.cifar10_decoding import decode
    from cifar_tricks.errors import UserError
    from cifar_tricks.fetch import fetch
    from cifar_tricks.files import write_atomically

    if argv:
        raise UserError(f"download takes no arguments, got {' '.join(argv)}")
    # Not an output: DVC would delete it before a run. Under DVC's root, so that the temporary
    # checkouts of queued experiments find what the main one downloaded.
    downloads = Path(os.environ.get("DVC_ROOT", ".")) / "data" / "downloads"
    archive = fetch(CIFAR10, downloads)
    files = {}
    for name, split in decode(archive.path).items():
        path = Path("data/cifar10") / f"{name}.safetensors"
        files[path.as_posix()] = write_split(path, split.images, split.labels)
    manifest = {"assets": {CIFAR10.name: archive.manifest_entry()}, "files": files}
    write_atomically(Path("data/manifest.json"), (json.dumps(manifest, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
