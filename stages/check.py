"""Checks params.yaml and where the project lies before anything is downloaded or trained.

Every other stage depends on the file written here, whose content never changes: it puts the check
first in the graph, and a valid change of a parameter reruns nothing through it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes ``data/params.valid``."""
    from cifar_tricks.files import write_atomically
    from cifar_tricks.params import load_params
    from cifar_tricks.photo import check_photo
    from cifar_tricks.place import check_place

    params = load_params()
    check_place()
    # The default is downloaded later.
    if params.visualize.image != type(params.visualize).model_fields["image"].default:
        check_photo(Path(params.visualize.image))
    write_atomically(Path("data/params.valid"), b"params.yaml is valid\n")


if __name__ == "__main__":
    run(main)
