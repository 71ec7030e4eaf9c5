"""The README's generated tables are those of the committed reports."""

from pathlib import Path

import pytest
from conftest import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.readme import BLOCK, fill


def test_the_readme_holds_what_the_reports_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("README.md").read_text()
    assert BLOCK.search(text), "the README shows no results"
    assert fill(text) == text, "make readme writes it"


def test_a_missing_report_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"reports/huge/comparisons\.csv"):
        fill("<!-- results: huge -->\n<!-- end of results -->")
