"""MLflow's pages as ``make ui`` opens them: a real store, the real server, a real browser."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from helpers.browser import chromium
from helpers.project import ROOT
from helpers.synthetic_study import make_study
from playwright.sync_api import Page, expect

from cifar_tricks.base.signed_json import to_json
from cifar_tricks.commands import ui
from cifar_tricks.evidence.curves import mean_curve, read_curves
from cifar_tricks.evidence.study_results import StudyResults
from cifar_tricks.tracking.track import track

MILLISECONDS = 60_000  # a page takes a few seconds, more on a busy machine
DIVERGED = "narrow-augment"
PAIR = ["model1-baseline", "improve-both"]
TABLE, CURVES, VALUES = range(3)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyResults]:
    """Nine variants with three seeds, one of which diverged once, logged; the current folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.delenv(name, raising=False)
        folder = tmp_path_factory.mktemp("study")
        with make_study(folder, diverged={(DIVERGED, 1)}) as study:
            metrics = json.loads(Path("reports/small/metrics.json").read_bytes())
            keys = list(metrics["variants"])
            track(study.params, keys, metrics, folder=Path("reports/small"))
            Path("reports/small/champion").mkdir()
            Path("reports/small/champion/model.json").write_bytes(to_json({"key": PAIR[1]}))
            yield study


@pytest.fixture(scope="module")
def links(study: StudyResults) -> Iterator[dict[str, str]]:
    """What ``make ui`` prints, by what the pages show; its server runs meanwhile."""
    port = str(ui.choose_port(""))
    process = subprocess.Popen(
        [sys.executable, "-m", "cifar_tricks", "ui", "--port", port],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        output = "".join(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        yield dict(re.findall(r"^(\S.*):\n  (http\S+)$", output, re.MULTILINE))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page in a fresh profile; the test fails if it asks another machine for anything."""
    hosts = set()
    expect.set_options(timeout=MILLISECONDS)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(MILLISECONDS)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        yield page
    assert hosts <= {"127.0.0.1", None}


def test_the_links_are_the_table_and_the_pair(links: dict[str, str]) -> None:
    shown = " and ".join(PAIR)
    assert list(links) == ["All runs", f"{shown}, their curves", f"{shown}, value by value"]


def cells(page: Page, column: str) -> list[str]:
    """The texts of a column, from above; a column of the table by its id."""
    found: list[str] = page.evaluate(
        """column => [...document.querySelectorAll(`.ag-cell[col-id="${CSS.escape(column)}"]`)]
            .sort((a, b) => a.getBoundingClientRect().y - b.getBoundingClientRect().y)
            .map(cell => cell.innerText.trim().split('\\n').pop())""",
        column,
    )
    return found


def test_the_table_shows_every_variant_and_the_figures_that_matter_first(
    study: StudyResults, links: dict[str, str], page: Page
) -> None:
    page.goto([*links.values()][TABLE])
    expect(page.locator(".ag-cell[col-id='duration']")).to_have_count(len(study.results))
    placed = sorted((box["x"], box["text"]) for box in boxes(page) if box["text"])
    assert [text for _, text in placed] == [
        "Run Name", "Created", "test_accuracy", "std/test_accuracy", "num_seeds",
        "validation_accuracy", "train_accuracy", "test_loss", "diverged", "Duration",
    ]  # fmt: skip
    names = cells(page, "attributes.`Run Name`")
    assert sorted(names) == sorted(study.results)
    shown = dict(zip(names, cells(page, "metrics.`test_accuracy`"), strict=True))
    means = {key: study.results[key].mean("test_accuracy") for key in names}
    assert shown[DIVERGED] == "-" and means[DIVERGED] is None
    for key in names:
        if key != DIVERGED:
            assert shown[key] == f"{round(means[key], 4):g}"
    ranked = [means[key] for key in names if key != DIVERGED]
    assert ranked == sorted(ranked, reverse=True)
    flaws = dict(zip(names, cells(page, "tags.`diverged`"), strict=True))
    assert {key for key, flaw in flaws.items() if flaw == "seed 1"} == {DIVERGED}
    expect(page.get_by_text("MLflow Assistant")).not_to_be_visible()
    # Nothing is cut off.
    assert not page.evaluate(
        """() => [...document.querySelectorAll('.ag-cell a, .ag-header-cell-text')]
            .filter(text => text.scrollWidth > text.clientWidth + 1).map(text => text.innerText)"""
    )


def boxes(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll('.ag-header-cell')].map(cell =>
            ({x: cell.getBoundingClientRect().x, text: cell.innerText.trim()}))"""
    )
    return found


# Chart, run, steps and values of every curve.
CURVES_DRAWN = """[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data || [])
    .filter(trace => (trace.metricKey || '').startsWith('curves/'))
    .map(trace => [trace.metricKey, trace.name, [...trace.x], [...trace.y]])"""


def test_both_curves_are_in_every_chart(
    study: StudyResults, links: dict[str, str], page: Page
) -> None:
    page.goto([*links.values()][CURVES])
    # A chart is drawn when it comes into view.
    page.set_viewport_size({"width": 1600, "height": 1600})
    names = {"train_accuracy", "train_loss", "validation_accuracy", "validation_loss"}
    wanted = {(f"curves/{name}", key) for name in names for key in PAIR}
    # A smoothed curve and its points are traces of their own.
    page.wait_for_function(f"() => {CURVES_DRAWN}.length >= {2 * len(wanted)}")
    drawn = page.evaluate(CURVES_DRAWN)
    assert {(chart, run) for chart, run, _, _ in drawn} == wanted
    for chart, run, steps, values in drawn:
        split, _, value = chart.removeprefix("curves/").partition("_")
        curve = mean_curve(
            read_curves(study.results[run]), split=split, value=value, seeds=study.params.seeds
        )
        assert values == pytest.approx(list(curve), abs=1e-4)
        assert len(steps) == 4 and steps == sorted(steps)
    for name in names:
        expect(page.get_by_text(f"curves/{name}", exact=True).first).to_be_visible()


# The texts in the line of a metric: its name and a value per run.
LINE = """name => {
    const links = [...document.querySelectorAll('[role=grid] a')];
    const {top} = links.find(link => link.innerText.trim() === name).parentElement.style;
    return [...document.querySelectorAll('[role=grid] [role=rowgroup] > *')]
        .filter(cell => cell.style.top === top).map(cell => cell.innerText.trim());
}"""


def test_two_runs_are_compared_value_by_value(
    study: StudyResults, links: dict[str, str], page: Page
) -> None:
    page.goto([*links.values()][VALUES])
    expect(page.get_by_text("Comparing 2 Runs from 1 Experiment").first).to_be_visible()
    for key in PAIR:
        expect(page.get_by_role("cell", name=key, exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="test_accuracy", exact=True)).to_be_attached()
    means = [study.results[key].mean("test_accuracy") for key in PAIR]
    shown = [f"{round(mean, 3):g}" for mean in means if mean is not None]
    assert page.evaluate(LINE, "test_accuracy") == ["test_accuracy", *shown]
    for name in ("std/test_accuracy", "num_seeds", "curves/validation_accuracy"):
        expect(page.get_by_text(name, exact=True).first).to_be_attached()
