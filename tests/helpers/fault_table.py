"""Counts what the tests marked `fault` tried, for the table at the end of `make test-faults`.

A test says with `@pytest.mark.fault("kill", tried=1)` which promise it is about and how often it
tries; what it gives to `record_property("tried", n)` comes before that, and what it gives to
`record_property("measured", text)` is a line below the table.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

FAULTS = {
    "kill": "`kill -9` of a training at random points, also while it saves its state",
    "orphan": "`kill -9` of DVC alone; two `make repro` or `dvc repro` at once",
    "signal": "SIGTERM, SIGINT (Ctrl-C), SIGHUP",
    "disk": "full disk, at the start and midway; folders that cannot be written",
    "download": "sources that stall, drop, lie, answer with 503 or HTML; none at all",
    "damage": "flipped bits and cut files: data, weights, states, results, DVC's cache",
    "identity": "a saved state of other parameters, code or data",
    "store": "MLflow's store locked, down, full, damaged, opened by eight at once, killed midway",
    "diverge": "losses that are not finite",
    "params": "wrong values in params.yaml",
    "hostile": "malicious pickles, checkpoints, archives, models and pictures",
    "escape": "HTML and scripts in names, parameters and messages",
    "place": "odd paths, LANG=C, a read-only home, no network",
    "queue": "an experiment of a queue that is killed",
    "load": "46 nets with eight seeds each; a hundred readers of MLflow's pages at once",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("fault"):
            (promise,) = marker.args
            assert promise in FAULTS, f"{item.nodeid}: {promise}"
            tried = marker.kwargs.get("tried", 1)
            item.user_properties += [("fault", promise), ("tried", tried)]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    if "fault" not in (terminalreporter.config.option.markexpr or ""):
        return
    tests, tried, failed = Counter[str](), Counter[str](), Counter[str]()
    skipped = Counter[str]()
    measured = []
    for outcome in ("skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if promise := dict(report.user_properties).get("fault"):
                (skipped if outcome == "skipped" else failed)[promise] += 1
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            properties = dict(report.user_properties)
            if report.when == "call" and (promise := properties.get("fault")):
                tests[promise] += 1
                tried[promise] += int(str(properties["tried"]))
                failed[promise] += outcome == "failed"
                measured += [f"- {properties['measured']}"] if "measured" in properties else []
    lines = ["| fault | tests | tried | failed | skipped here |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {text} | {tests[promise]} | {tried[promise]} | {failed[promise]} | {skipped[promise]} |"
        for promise, text in FAULTS.items()
    ]
    lines += ["", *sorted(measured)]
    terminalreporter.section("faults")
    terminalreporter.write_line("\n".join(lines))
    whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if whole and (path := os.environ.get("FAULTS_TABLE")):
        Path(path).write_text("\n".join(lines) + "\n")
