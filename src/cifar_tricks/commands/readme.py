"""``make readme``: writes what README.md and docs/ say of results, from the committed reports and
benchmarks."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.evaluation.original import original_result
from cifar_tricks.evidence.cells import number
from cifar_tricks.report.findings import Findings
from cifar_tricks.report.markdown import Markdown, render, table
from cifar_tricks.report.side_by_side import (
    budget_table,
    carried_counts,
    carried_table,
    protocols_table,
    turned,
)
from cifar_tricks.report.speed import BENCH, read_bench, speed_table

PAGES = (Path("README.md"), Path("docs/speed.md"), Path("docs/findings.md"))
DOCS = Path("docs")
ANSWER = re.compile(r"(<!-- answer -->\n).*?(<!-- end of answer -->)", re.DOTALL)
STEPS = re.compile(r"(<!-- steps: ([\w ]+) -->\n).*?(<!-- end of steps -->)", re.DOTALL)
STEP_GROUPS = ("reference", "improve", "transfer")
README_SPEED = ["net", "usual", "engine, fp32", "engine, bf16", "of the limit", "bf16, two at once"]
README_SPEED += ["ten epochs"]
GRAPH = re.compile(r"(<!-- graph -->\n).*?(<!-- end of graph -->)", re.DOTALL)
SPEED = re.compile(r"(<!-- speed -->\n).*?(<!-- end of speed -->)", re.DOTALL)


def write_tables() -> int:
    """Rewrites the pages' blocks.

    Returns:
        The exit code.

    Raises:
        UserError: a report is missing.
    """
    for page in PAGES:
        write_atomically(page, renewed(page).encode())
    return 0


def renewed(page: Path) -> str:
    """The page as it has to be: by its template ``<page>.j2`` where it has one, else with its
    blocks filled.

    Raises:
        UserError: the page or a report is missing.
    """
    template = page.with_name(f"{page.name}.j2")
    if template.exists():
        return said(template)
    try:
        return fill(page.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{page} cannot be read: {error.strerror}") from error


def said(template: Path) -> str:
    """What a page's template says of the committed reports."""
    words = (protocols_table, turned, budget_table, carried_table, carried_counts)
    names = {"scale": cache(Findings), **{word.__name__: word for word in words}}
    return render(template.name, names, template.parent)


def fill(text: str) -> str:
    """The text with every block, up to its ``<!-- end of ... -->``, filled: ``<!-- answer -->`` by
    its template, ``<!-- steps: SCALE ... -->`` from ``reports/SCALE``, ``<!-- speed -->`` from
    ``benchmarks/results.json``, and ``<!-- graph -->`` from ``dvc dag``.

    Raises:
        UserError: a report is missing.
    """
    text = ANSWER.sub(lambda match: f"{match[1]}\n{said(DOCS / 'answer.md.j2')}\n{match[2]}", text)
    text = STEPS.sub(
        lambda match: f"{match[1]}\n{steps_table(*match[2].split())}\n\n{match[3]}", text
    )
    text = GRAPH.sub(lambda match: f"{match[1]}{graph()}{match[2]}", text)
    return SPEED.sub(lambda match: f"{match[1]}\n{benchmark_table()}\n\n{match[2]}", text)


def benchmark_table() -> Markdown:
    """Training speed beside the usual trainer."""
    bench = read_bench()
    if bench is None:
        raise UserError(f"{BENCH} is missing: make bench writes it")
    rows = [row for row in speed_table(bench) if "augmented" not in row["net"]]
    names = [*README_SPEED[:-1], *(n for n in ("bf16, ten seeds",) if n in rows[0]), "ten epochs"]
    return table(names, [[row[name] for name in names] for row in rows], "lr")


def graph() -> str:
    """The stages and which of them wait for which, as a Mermaid block; without the arrows that
    others imply.

    Raises:
        UserError: DVC cannot read dvc.yaml.
    """
    command = [sys.executable, "-m", "dvc", "dag", "--collapse-foreach-matrix", "--mermaid"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"dvc dag: {' '.join(done.stderr.split())}")
    names = dict(re.findall(r'(node\d+)\["(.+?)"\]', done.stdout))
    after: dict[str, set[str]] = {name: set() for name in names.values()}
    for first, second in re.findall(r"(node\d+)-->(node\d+)", done.stdout):
        after[names[first]].add(names[second])
    arrows = [
        f"  {first} --> {second}"
        for first in sorted(after)
        for second in sorted(after[first])
        if not any(second in _reached(after, other) for other in after[first] - {second})
    ]
    return "\n".join(["```mermaid", "flowchart LR", *arrows, "```", ""])


def _reached(after: dict[str, set[str]], start: str) -> set[str]:
    """All that waits for a stage, directly or not."""
    return after[start].union(*(_reached(after, stage) for stage in after[start]))


def _read(scale: str, name: str) -> pd.DataFrame:
    path = Path("reports") / scale / name
    try:
        return pd.read_csv(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: dvc repro report writes it") from error


def steps_table(*scales: str) -> Markdown:
    """The reference net, the steps of ``improve`` and the net from ImageNet, a row for each that
    has a result at one of the scales."""
    found = [Findings(scale) for scale in scales]
    rows = pd.concat([_read(scale, "results.csv") for scale in scales])
    shown = rows[rows["group"].isin(STEP_GROUPS) & rows["test_accuracy"].notna()]
    cells = []
    for key in map(str, shown["key"].drop_duplicates()):
        original = number((original_result(key) or {}).get("test_accuracy"))
        reached = [cell for one in found for cell in (str(one.n(key)), one.accuracy(key))]
        cells.append([key, *reached, original])
    header = [name for scale in scales for name in ("n", scale)]
    return table(["net", *header, "original"], cells, "lr")
