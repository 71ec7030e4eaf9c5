"""What is shown while nodes train: on a terminal and elsewhere."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest
from helpers.project import ROOT

from cifar_tricks.engines import view
from cifar_tricks.engines.view import View

SCRIPT = """
from cifar_tricks.engines.view import View
view = View(3)
view.busy({"n1": ["model1-adam seed=0 epoch 1.5"], "n2": []})
view.done("model2-adam seed=1 on n2")
view.tell("error: lost", error=True)
view.busy({f"n{number}": [f"seed={number}"] for number in range(10)})
view.done("model1-adam seed=0 on n1")
view.close()
"""


def test_a_terminal_has_a_bar_and_a_line_for_each_node() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal is closed at the end
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown
    for text in ("1/3", "2/3", "n1: model1-adam seed=0 epoch 1.5", "n2: nothing", "n7: seed=7",
                 "and 2 more nodes", "error: lost", "model1-adam seed=0 on n1"):  # fmt: skip
        assert text.encode() in shown, text
    assert b"n8: " not in shown


def test_elsewhere_there_are_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = View(2)
    shown.busy({"n1": ["a seed=0"]})  # not more often than once a minute
    shown.done("a seed=0 on n1")
    monkeypatch.setattr(view, "LINE_SECONDS", 0.0)
    shown.busy({"n2": ["a seed=1", "b seed=0"], "n1": []})
    shown.tell("error: b seed=0: given up", error=True)
    shown.close()
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "1 of 2: a seed=0 on n1, about 1 min left",
        "1 of 2 done; n1: nothing; n2: a seed=1, b seed=0",
    ]
    assert told.err == "error: b seed=0: given up\n"
