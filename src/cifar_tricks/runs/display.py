"""What a training shows while it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from cifar_tricks.parameters.variants import Variant
from cifar_tricks.training.progress import Progress


class TrainingDisplay:
    """Shows steps, images per second, the last validation and the time left.

    Args:
        variant: what is trained.
        seed: of the run.
        place: line of its bar, counted from the first one on the screen.
    """

    def __init__(self, variant: Variant, seed: int, *, place: int = 0) -> None:
        recipe = variant.recipe
        self.title, self.batch_size = f"{variant.key} seed {seed}", recipe.batch_size
        self.total_steps = total_steps = recipe.num_epochs * recipe.steps_per_epoch
        self.first_step: int | None = None
        self.shown_rows = self.shown_quarters = 0
        self.start = time.monotonic()
        self.bar: tqdm[None] | None = None
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=total_steps * self.batch_size,
                desc=self.title,
                unit=" images",
                file=sys.stdout,
                position=place,
            )

    def prepare(self, done: int, total: int) -> None:
        """Called while a frozen trunk's features are computed, before the first step."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"frozen layers: {done}/{total} images")
        elif (quarter := 4 * done // total) > self.shown_quarters:
            self.shown_quarters = quarter
            speed = done / (time.monotonic() - self.start)
            print(
                f"{self.title}: frozen layers, {done}/{total} images, {speed:.0f} images/s",
                flush=True,
            )
        if done == total:
            self.start = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Called after each step."""
        if self.first_step is None:
            self.first_step = progress.step - 1
            if self.bar is not None:
                # Speed and time left count from here, not from what an earlier process did.
                self.bar.initial = self.bar.n = self.first_step * self.batch_size
                self.bar.start_t = time.time() - (time.monotonic() - self.start)
        if self.bar is not None:
            self.bar.update(progress.step * self.batch_size - self.bar.n)
        if len(progress.history) > self.shown_rows:
            self.shown_rows = len(progress.history)
            self._show_validation(progress)

    def _show_validation(self, progress: Progress) -> None:
        row = progress.history[-1]
        result = f"{row.split} loss {row.loss:.3f} accuracy {row.accuracy:.3f}"
        if self.bar is not None:
            self.bar.set_postfix_str(result)
            return
        seconds = time.monotonic() - self.start
        steps = progress.step - (self.first_step or 0)
        speed = steps * self.batch_size / seconds
        left = (self.total_steps - progress.step) * seconds / steps
        print(
            f"{self.title}: step {progress.step}/{self.total_steps}, {result}, "
            f"{speed:.0f} images/s, {left:.0f} s left",
            flush=True,
        )

    def close(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()
