"""``judge``: any table of runs, judged as the study judges its own."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.wording import printable
from cifar_tricks.judge.columns import Choice
from cifar_tricks.judge.compare import judge_runs
from cifar_tricks.judge.files import to_csv, to_latex
from cifar_tricks.judge.runs import find_runs
from cifar_tricks.judge.table import read_table
from cifar_tricks.judge.text import WIDTH, Question, sentences, terminal_table


def judge(
    table: str,
    baseline: str,
    variant: str,
    seed: str,
    value: str,
    within: str,
    where: Sequence[str],
    lower_is_better: bool,
    margin: str,
    mlflow: str,
    tracking_uri: str,
    html: str,
    csv: str,
    latex: str,
) -> int:
    """Prints a table of every variant against its baseline, and writes the files that are named.

    Args:
        table: a CSV file, or "-" for standard input; "" with ``mlflow``.
        baseline: name of the variant that the others are compared with.
        variant, seed, value, within: columns; "" where they are to be found.
        where: COLUMN=VALUE, for rows that count.
        lower_is_better: as of a loss.
        margin: of what counts as no difference, a positive number; "" for no such claim.
        mlflow: name of an experiment whose runs are the table; "" for none.
        tracking_uri: where it is; "" for MLFLOW_TRACKING_URI, else the project's own store.
        html, csv, latex: files to write; "" for none.

    Returns:
        The exit code.

    Raises:
        UserError: nothing can be said, or a file cannot be read or written.
    """
    if bool(table) == bool(mlflow):
        raise UserError("judge takes a table (a CSV file, - for standard input) or --mlflow NAME")
    if tracking_uri and not mlflow:
        raise UserError("--tracking-uri goes with --mlflow EXPERIMENT")
    chosen = Choice(variant=variant, seed=seed, value=value, within=within, where=_pairs(where))
    width = _margin(margin)
    _check_places([place for place in (html, csv, latex) if place], table)
    if mlflow:
        from cifar_tricks.judge.mlflow_runs import read_experiment

        texts = read_experiment(mlflow, tracking_uri, value)
    else:
        texts = read_table(table)
    runs = find_runs(texts, chosen, baseline)
    judgement = judge_runs(runs, baseline, lower_is_better=lower_is_better, margin=width)
    question = Question(
        baseline=baseline, value=runs.names.value, lower_is_better=lower_is_better, margin=width
    )
    column = runs.names.within
    if csv:
        write_atomically(Path(csv), to_csv(judgement, column).encode())
    if latex:
        write_atomically(Path(latex), to_latex(judgement, question, column).encode())
    if html:
        from cifar_tricks.judge.page import to_html

        write_atomically(Path(html), to_html(runs, judgement, question).encode())
    for line in terminal_table(judgement, question, printable(column)):
        print(line)
    print()
    for sentence in sentences(runs, judgement, question):
        print("\n".join(textwrap.wrap(sentence, WIDTH)))
    return 0


def _pairs(where: Sequence[str]) -> dict[str, str]:
    for one in where:
        if not one.partition("=")[0] or "=" not in one:
            raise UserError(f"--where {one}: valid: COLUMN=VALUE")
    pairs = [(name, value) for name, _, value in (one.partition("=") for one in where)]
    if len(dict(pairs)) < len(pairs):
        raise UserError("--where names a column twice; a row has one value in each")
    return dict(pairs)


def _margin(text: str) -> float | None:
    if not text:
        return None
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise UserError(f"--margin {text}: valid: a positive number, in the unit of the values")
    return margin


def _check_places(places: Sequence[str], table: str) -> None:
    """Before any work: that each output is a file of its own, and not the table itself."""
    seen = {os.path.realpath(table)} if table not in ("", "-") else set()
    for place in places:
        path = Path(place)
        if place == "-" or (path.exists() and not path.is_file()):
            raise UserError(f"cannot write {place}: valid: the name of a file")
        if (real := os.path.realpath(place)) in seen:
            raise UserError(f"cannot write {place}: it is the table, or another output")
        seen.add(real)
