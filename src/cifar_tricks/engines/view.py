"""What ``make share`` shows while nodes train: a bar and a line for each node on a terminal, plain
lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

# The lines of nodes that are shown; of the others their number.
MOST_NODES = 8
LINE_SECONDS = 60.0


class View:
    """How far all trainings are.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self.total, self.finished = total, 0
        self.begun = self.told = time.monotonic()
        self.bars: list[tqdm[None]] = []
        if sys.stdout.isatty():
            # The time left by the mean of all, not of the last ones.
            bar = tqdm(total=total, unit=" trainings", file=sys.stdout, smoothing=0, mininterval=0)
            self.bars = [bar]

    def done(self, what: str) -> None:
        """One more is finished."""
        self.finished += 1
        if self.bars:
            self.tell(what)
            self.bars[0].update()
        else:
            seconds = (time.monotonic() - self.begun) / self.finished
            left = _told(seconds * (self.total - self.finished))
            self.tell(f"{self.finished} of {self.total}: {what}, {left} left")

    def busy(self, nodes: Mapping[str, Sequence[str]]) -> None:
        """What each node does now, by its name."""
        lines = [f"{name}: {', '.join(does) or 'nothing'}" for name, does in sorted(nodes.items())]
        more = len(lines) - MOST_NODES
        lines[MOST_NODES:] = [f"and {more} more nodes"] if more > 0 else []
        if self.bars:
            while len(self.bars) <= len(lines):
                line = tqdm(
                    bar_format="{desc}", position=len(self.bars), file=sys.stdout, leave=False
                )
                self.bars.append(line)
            for number, bar in enumerate(self.bars[1:]):
                bar.set_description_str(lines[number] if number < len(lines) else "")
            self.bars[0].refresh()
        elif lines and time.monotonic() - self.told >= LINE_SECONDS:
            self.told = time.monotonic()
            self.tell(f"{self.finished} of {self.total} done; {'; '.join(lines)}")

    def tell(self, line: str, *, error: bool = False) -> None:
        """A line that stays."""
        file = sys.stderr if error else sys.stdout
        if self.bars:
            tqdm.write(line, file=file)
        else:
            print(line, file=file, flush=True)

    def close(self) -> None:
        """Ends the bar; it stays with the numbers that it had."""
        for bar in reversed(self.bars):
            bar.close()


def _told(seconds: float) -> str:
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"
