"""A mistake about the engine is one line, before any work."""

import pytest
from helpers.project import ROOT

from cifar_tricks.__main__ import run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--engine lokal", "ENGINE = lokal: did you mean local? valid: local"),
        ("--engine cloud", "ENGINE = cloud: valid: local"),
    ],
)
def test_a_mistake_is_one_line(
    given: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["share", *given.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1
    assert told.out == ""
