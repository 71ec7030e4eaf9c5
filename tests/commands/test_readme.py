"""The generated tables of README and docs are those of the committed reports."""

from pathlib import Path

import pytest
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.readme import BLOCK, PAGES, SPEED, fill


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_pages_hold_what_the_reports_say(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    assert BLOCK.search(text) or SPEED.search(text), f"{page} shows no results"
    assert fill(text) == text, "make readme writes it"


def test_a_missing_report_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"reports/huge/comparisons\.csv"):
        fill("<!-- results: huge -->\n<!-- end of results -->")
