"""How every stage runs: by the project's own interpreter and code, mistakes as one line.

Any Python 3 can read this far: DVC starts a stage with the `python` that the user's shell finds.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "CIFAR_TRICKS_RESTARTED"


def use_own_interpreter() -> None:
    """Starts this stage again with the interpreter of `.venv`, if there is one and it is another.

    In a container or notebook without `.venv` the running one is right. A queued experiment runs in
    a copy of the checkout, for which DVC names the place of `.venv` in DVC_ROOT.
    """
    restarted = os.environ.pop(MARK, "")
    for root in (ROOT, Path(os.environ.get("DVC_ROOT") or ROOT)):
        python = str(root / ".venv" / "bin" / "python")
        if os.access(python, os.X_OK):
            own = os.path.realpath(str(root / ".venv"))
            if os.path.realpath(sys.prefix) != own and not restarted:
                kept = {**os.environ, MARK: "1"}
                kept.pop("PYTHONHOME", None)  # of the other one
                os.execve(python, [python, *sys.argv], kept)
            return


if Path(sys.argv[0]).resolve().parent == ROOT / "stages":  # not where a test imports a stage
    use_own_interpreter()
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
# First, so that a temporary copy of the repository (`dvc exp run --queue`) runs its own code, not
# that of the main checkout.
sys.path.insert(0, str(ROOT / "src"))


def run(main: Callable[[list[str]], None]) -> None:
    """Calls ``main`` with the command line's arguments, and exits as `exit_code` says."""
    from cifar_tricks.base.errors import exit_code
    from cifar_tricks.base.surroundings import settle

    sys.exit(exit_code(lambda: settle(stage=True)) or exit_code(lambda: main(sys.argv[1:])))
