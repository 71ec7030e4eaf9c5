"""Writes the hash of every module that each training runs, so that trainings depend on one file.

The modules are this stage's own deps in dvc.yaml; a test compares them with what train.py imports.
"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes ``data/engine.txt``, a line per module, as ``sha256sum`` does."""
    from ruamel.yaml import YAML

    from cifar_tricks.files import write_atomically

    deps = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]["engine"]["deps"]
    modules = [path for path in deps if path.endswith(".py") and path != "stages/engine.py"]
    lines = [f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()}  {path}\n" for path in modules]
    write_atomically(Path("data/engine.txt"), "".join(lines).encode())


if __name__ == "__main__":
    run(main)
