"""Ending a training soon and in order when the user or the system asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cifar_tricks.base.errors import Interrupted

SECONDS_TO_STOP = 5.0
# On a node of a cluster a training must not outlive what started it.
PARENT = "CIFAR_TRICKS_PARENT"


@contextmanager
def stop_request() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag that the training asks for after each step; so
    does the end of the process whose id :data:`PARENT` gives.

    What takes longer than SECONDS_TO_STOP, such as the last measurement of a large net, is cut
    short; the run then goes on from the state before.
    """
    received: list[int] = []

    def stop_soon(number: int, _: object) -> None:
        received.append(number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_STOP)

    def stop_now(*_: object) -> None:
        raise Interrupted

    stops = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        stops.append(signal.SIGHUP)
    previous = {number: signal.signal(number, stop_soon) for number in stops}
    previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, stop_now)
    try:
        yield lambda: bool(received) or _is_orphan()
    except Interrupted as error:
        raise Interrupted(*received[:1]) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_orphan() -> bool:
    parent = os.environ.get(PARENT, "")
    return parent.isdecimal() and os.getppid() != int(parent)
