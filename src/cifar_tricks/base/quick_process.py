"""A process that spends less on memory than on its work.

Python looks again and again at all that was imported, and once more at the end, for memory that is
in use no longer. With PyTorch that takes a third of a process of seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from typing import NoReturn

OBJECTS_BETWEEN = 10_000  # Python's own 700 are few beside PyTorch's 500,000

_ended_with: list[int] = []


def begin() -> None:
    """To be called before anything is imported that has something to do at the end."""
    gc.set_threshold(OBJECTS_BETWEEN, *gc.get_threshold()[1:])
    atexit.register(_leave_the_rest)


def end(code: int) -> NoReturn:
    """Ends the process; threads are waited for, and what was registered for the end is done."""
    _ended_with.append(code)
    sys.exit(code)


def _leave_the_rest() -> None:
    """The last thing to be done, for it was registered first."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if _ended_with:
        os._exit(_ended_with[0])
