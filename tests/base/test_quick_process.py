"""A process that leaves out Python's own end does all else at its end."""

import subprocess
import sys

import pytest
from helpers.project import ROOT

PROGRAM = """
import sys, tempfile, threading, time, atexit
from cifar_tricks.base import quick_process
quick_process.begin()
folder = tempfile.TemporaryDirectory()
threading.Thread(target=lambda: (time.sleep(0.3), print("a thread"))).start()
atexit.register(lambda: print("registered"))
class Kept:
    def __del__(self):
        print("taken apart")
kept = Kept()
print(folder.name)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [
        ("quick_process.end(0)", 0, "registered"),
        ("quick_process.end(3)", 3, "registered"),
        ("raise ValueError", 1, "taken apart"),
    ],
)
def test_only_taking_apart_is_left_out(end: str, code: int, last: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(end=end)]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    folder, *lines = done.stdout.splitlines()
    assert done.returncode == code and ("ValueError" in done.stderr) == (code == 1)
    assert lines[:2] == ["a thread", "registered"] and lines[-1] == last
    assert not (ROOT / folder).exists()
