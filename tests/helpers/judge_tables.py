"""Tables of runs for `judge`, and what it says of them."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cifar_tricks.__main__ import run

Rows = list[list[object]]


def runs(names: Sequence[str], *, seeds: int = 8, shift: float = 0.02) -> Rows:
    """Rows of variant, seed and accuracy; the first variant is the worst."""
    numbers = np.random.default_rng(0)
    return [
        [name, seed, round(0.7 + shift * (place > 0) + numbers.normal(0, 0.004), 4)]
        for place, name in enumerate(names)
        for seed in range(seeds)
    ]


def table(rows: Rows, header: Sequence[object] = ("variant", "seed", "accuracy")) -> str:
    """As CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


@pytest.fixture
def judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Judges a table that is written to ``runs.csv``: exit code, output and message."""
    monkeypatch.chdir(tmp_path)

    def judge(content: str | bytes, *options: str) -> tuple[int, str, str]:
        data = content if isinstance(content, bytes) else content.encode()
        Path("runs.csv").write_bytes(data)
        code = run(["judge", "runs.csv", *options])
        told = capsys.readouterr()
        return code, told.out, told.err

    return judge
