"""What it writes: harmless in a spreadsheet, in a browser, in LaTeX; and what the guide shows."""

import csv
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import chromium
from helpers.judge_tables import runs, table
from helpers.project import ROOT

from cifar_tricks.__main__ import run

Judge = Callable[..., tuple[int, str, str]]
FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", '=HYPERLINK("http://x")')
ODD = (
    "<script>document.title='x'</script>",
    "</script><b>",
    "{{7*7}}",
    "a_b & 50% ~^\\x{}#$",
    "[a]",
)
GUIDE = ROOT / "docs/judge.md"


def test_no_name_is_a_formula(judged: Judge) -> None:
    rows = runs(("baseline", *FORMULAS, "-0.5", "plain"))
    rows = [["@net", *row] for row in rows]
    content = table(rows, ("=net", "v", "seed", "x"))
    assert judged(content, "--within", "=net", "--csv", "out.csv", "--value", "x")[0] == 0
    header, *found = csv.reader(Path("out.csv").read_text().splitlines())
    assert header[0] == "'=net" and {row[0] for row in found} == {"'@net"}
    # A number is none, though it starts like one; tabs around a name are no part of it.
    expected = [f"'{name.strip()}" for name in FORMULAS]
    assert [row[1] for row in found] == [*expected, "-0.5", "plain"]


def test_html_in_names_stays_text_and_the_page_needs_no_network(
    judged: Judge, tmp_path: Path
) -> None:
    content = table(
        [["net <i>", *row] for row in runs(("baseline", *ODD))], ("net", "v", "seed", "x")
    )
    assert judged(content, "--within", "net", "--html", "page.html", "--value", "x")[0] == 0
    told: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda one: told.append(one.url) if one.url[:4] == "http" else None)
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === '1'")
        assert page.title() == "Which variants differ from baseline?"
        assert page.locator(".chart svg").count() == 1 and page.locator("b, i").count() == 0
        shown = page.locator("#t-judgement tbody tr td:nth-child(2)").all_inner_texts()
        assert shown == [*ODD]
        labels = page.locator(".chart svg text").all_text_contents()
        assert ODD[0] in labels and "{{7*7}}" in labels
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            violations = Axe().run(page).response["violations"]
            assert violations == [], [one["id"] for one in violations]
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert told == []


def test_of_many_variants_the_chart_draws_some_and_the_table_has_all(judged: Judge) -> None:
    content = table(runs([*(f"v{v}" for v in range(260))]))
    assert judged(content, "--baseline", "v0", "--html", "page.html")[0] == 0
    page = Path("page.html").read_text()
    assert "The 200 variants with the least p; 59 more are in the table." in page
    assert page.partition("</table>")[0].count("<tr>") == 1 + 259
    rows = [[net, *row] for net in range(30) for row in runs(("baseline", "adam"), seeds=3)]
    options = ("--within", "net", "--value", "accuracy", "--html", "page.html")
    assert judged(table(rows, ("net", "variant", "seed", "accuracy")), *options)[0] == 0
    page = Path("page.html").read_text()
    assert "10 more such charts are left out" in page and page.count("data-chart=") == 20


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_latex_compiles(judged: Judge, tmp_path: Path) -> None:
    content = table([["a_net", *row] for row in runs(("baseline", *ODD, *FORMULAS))], "nvsx")
    assert (
        judged(content, "--within", "n", "--seed", "s", "--latex", "t.tex", "--value", "x")[0] == 0
    )
    page = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{t}\\end{document}"
    )
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_latex_would_read_is_escaped(judged: Judge) -> None:
    assert judged(table(runs(("baseline", *ODD))), "--latex", "t.tex")[0] == 0
    rows = [line for line in Path("t.tex").read_text().splitlines() if line.endswith("\\\\")][1:]
    assert [row.split(" & ")[0] for row in rows[:3]] == [
        "\\textless{}script\\textgreater{}document.title='x'\\textless{}/script\\textgreater{}",
        "\\textless{}/script\\textgreater{}\\textless{}b\\textgreater{}",
        "\\{\\{7*7\\}\\}",
    ]
    escaped = "a\\_b \\& 50\\% \\textasciitilde{}\\textasciicircum{}\\textbackslash{}x\\{\\}\\#\\$"
    assert rows[3].startswith(escaped) and rows[4].startswith("{}[a] & 8 & $")


EXAMPLES = re.findall(r"```console\n\$ cifar-tricks (.*)\n((?:.*\n)*?)```", GUIDE.read_text())


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[one[:60] for one, _ in EXAMPLES])
def test_the_guide_shows_what_it_prints(
    command: str, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(shlex.split(command)) == 0
    assert capsys.readouterr().out == output


def test_the_guides_other_commands_are_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert len(EXAMPLES) == 3
    (command,) = re.findall(
        r"^    cifar-tricks (judge reports/.*)", GUIDE.read_text(), re.MULTILINE
    )
    assert run(shlex.split(command)) == 0
    assert "16 comparisons with baseline" in capsys.readouterr().out


def test_the_peers_table_has_its_published_means() -> None:
    """As its README states them, to four digits."""
    rows = [*csv.DictReader((ROOT / "docs/examples/modded-nanogpt.csv").open())]
    published = {
        "baseline-1480": (3.2788, 84.7039), "baseline-1430": (3.2867, 81.6762),
        "this_pr_v1": (3.2783, 83.2020), "this_pr_v1-1415": (3.2815, 82.1446),
        "this_pr_v2": (3.2781, 82.1289), "this_pr_v3": (3.2780, 81.9146),
    }  # fmt: skip
    for name, means in published.items():
        of = [row for row in rows if row["variant"] == name]
        for column, mean in zip(("val_loss", "train_time_s"), means, strict=True):
            found = sum(float(row[column]) for row in of) / 10
            assert found == pytest.approx(mean, abs=1.01e-4), (name, column)
