"""How every stage runs: this checkout's package on the path, mistakes as one line.

The path comes first so that a temporary copy of the repository (`dvc exp run --queue`) runs its
own code, not that of the main checkout.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from cifar_tricks.errors import exit_code
from cifar_tricks.surroundings import settle


def run(main: Callable[[list[str]], None]) -> None:
    """Calls ``main`` with the command line's arguments, and exits as `exit_code` says."""
    sys.exit(exit_code(lambda: settle(stage=True)) or exit_code(lambda: main(sys.argv[1:])))
