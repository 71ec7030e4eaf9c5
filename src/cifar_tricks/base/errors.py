"""What goes wrong for reasons outside the code, and how it is told: one line and an exit code."""

import errno
import os
import sys
from collections.abc import Callable

NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
NOT_WRITABLE |= {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}  # something else is in the way


class UserError(Exception):
    """What went wrong and what to do, in clear words; exit code 2."""


class Interrupted(Exception):
    """SIGINT or SIGTERM came, and what was done so far is saved.

    Args:
        number: of the signal.
        then: what becomes of the work.
    """

    def __init__(
        self, number: int = 0, *, then: str = "the state is saved, the next run goes on"
    ) -> None:
        super().__init__(number)
        self.number, self.then = number, then


def exit_code(work: Callable[[], int | None]) -> int:
    """Calls ``work``, and tells what a user has to know as one line on stderr.

    Returns:
        What ``work`` returns, 0 for None; 2 for a user's mistake, 128 + the signal's number for an
        interruption.
    """
    try:
        code = work() or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        return _told(f"error: {error}", 2)
    except Interrupted as error:
        return _told(f"interrupted; {error.then}", 128 + error.number)
    except KeyboardInterrupt:
        return _told("interrupted", 130)
    except BrokenPipeError:
        # Nobody reads on, as behind `| head`; what is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        # Of a full disk the system does not say which file.
        place = f"cannot write {error.filename}" if error.filename else "cannot write"
        return _told(f"error: {place}: {error.strerror}", 2)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cifar_tricks"):
            raise
        lacks = f"{sys.executable} has no package {error.name}"
        return _told(
            f"error: {lacks}: pip install 'cifar-tricks[study]', in a clone: make setup", 2
        )


def _told(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return code
