"""How every stage runs: this checkout's package on the path, mistakes as one line.

The path comes first so that a temporary copy of the repository (`dvc exp run --queue`) runs its
own code, not that of the main checkout.
"""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from cifar_tricks.errors import Interrupted, UserError

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def run(main: Callable[[list[str]], None]) -> None:
    """Calls ``main`` with the command line's arguments.

    Exit codes: 2 for a user's mistake, 128 + the signal's number for an interruption.
    """
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(_told(f"error: {error}", 2))
    except Interrupted as error:
        message = "interrupted; the state is saved, the next run goes on"
        sys.exit(_told(message, 128 + error.args[0]))
    except KeyboardInterrupt:
        sys.exit(_told("interrupted", 130))
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        # Of a full disk the system does not say which file.
        place = f"cannot write {error.filename}" if error.filename else "cannot write"
        sys.exit(_told(f"error: {place}: {error.strerror}", 2))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cifar_tricks"):
            raise
        message = f"error: {sys.executable} has no package {error.name}: make setup, then "
        sys.exit(_told(message + ". .venv/bin/activate", 2))


def _told(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return code
