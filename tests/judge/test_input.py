"""Tables as they come: dialects, odd names, and mistakes, each told in one line."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.judge_tables import runs, table
from helpers.project import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifar_tricks.__main__ import run

Judge = Callable[..., tuple[int, str, str]]
GOOD = runs(("baseline", "adam", "dropout"))
TEXT = table(GOOD)


def told(judged: Judge, content: str | bytes, *options: str) -> str:
    """The message; there must be one line of it, and nothing else."""
    code, output, error = judged(content, *options)
    assert (code, output) == (2, "") and error.count("\n") == 1, error
    return error.removeprefix("error: ").rstrip("\n")


def cell(variant: str, seed: int, text: str) -> str:
    """The good table with another text in place of a value."""
    return table([[v, s, text if (v, s) == (variant, seed) else x] for v, s, x in GOOD])


@pytest.mark.parametrize(
    "content",
    [
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        "\n" + TEXT,
        TEXT.replace(",", " , "),
        "\n".join(",".join(f'"{one}"' for one in line.split(",")) for line in TEXT.splitlines()),
    ],
    ids=["semicolons", "tabs", "crlf", "cr", "bom", "blank line", "spaces", "quotes"],
)
def test_every_dialect_says_the_same(judged: Judge, content: str) -> None:
    assert judged(content) == judged(TEXT)


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_decimal_commas_are_read_and_told(judged: Judge, delimiter: str) -> None:
    rows = [[v, s, str(x).replace(".", ",")] for v, s, x in GOOD]
    if delimiter == ",":
        found = judged(table(rows))
    else:
        found = judged("\n".join(delimiter.join(map(str, r)) for r in [["v", "seed", "x"], *rows]))
    assert "Note: decimal commas are read as points." in found[1]
    assert found[1].splitlines()[:5] == judged(TEXT)[1].splitlines()[:5]


MISTAKES: list[tuple[str | bytes, tuple[str, ...], str]] = [
    ("", (), "runs.csv is empty; valid: a table with a header and a row for each run"),
    ("\n \n", (), "runs.csv is empty"),
    ("variant,seed,acc\n", (), "runs.csv has a header and no rows: 'variant, seed, acc'"),
    (bytes(range(256)), (), "runs.csv is no text"),
    (b"\xff\xfe" + TEXT.encode("utf-16-le"), (), "runs.csv is UTF-16; valid: UTF-8"),
    ("v,seed,x\nbäse,0,1\n".encode("latin-1"), (), "runs.csv is not UTF-8: there is a byte 0xe4"),
    (TEXT + "adam,99,0.7,1\n", (), "runs.csv: row 26 has more cells than the header's 3"),
    (TEXT + '"adam,99,0.7\n', (), "runs.csv is no table: EOF inside string"),
    (TEXT.replace("seed", "accuracy"), (), "runs.csv has two columns 'accuracy': rename one"),
    (TEXT.partition("\n")[2], (), "runs.csv: 'baseline' is a header and a cell: no header?"),
    (TEXT, ("--baseline", "bseline"), "no cell and no header is 'bseline'; for --baseline did you"),
    (TEXT, ("--value", "acuracy"), "--value acuracy: no such column; did you mean accuracy? valid"),
    (TEXT, ("--variant", "x"), "--variant x: no such column; valid: variant, seed, accuracy"),
    (TEXT, ("--seed", "sed"), "--seed sed: no such column; did you mean seed?"),
    (TEXT, ("--within", "net"), "--within net: no such column"),
    (TEXT, ("--where", "net=1"), "--where net: no such column"),
    (TEXT, ("--where", "seed"), "--where seed: valid: COLUMN=VALUE"),
    (TEXT, ("--where", "seed=77"), "--where seed=77: no row; did you mean 7? valid: 0, 1, 2"),
    (TEXT, ("--where", "seed=1", "--where", "seed=2"), "--where names a column twice"),
    (
        TEXT,
        ("--where", "variant=adam"),
        "runs.csv: 'baseline' is only in variant, which is used otherwise; --v",
    ),
    (TEXT, ("--where", "accuracy=0.7172"), "runs.csv: --where leaves no row with 'baseline'"),
    (TEXT, ("--baseline", ""), "no cell and no header is ''; for --baseline valid: "),
    (TEXT, ("--value", "seed"), "runs.csv: column seed cannot be two things at once"),
    (TEXT, ("--margin", "-1"), "--margin -1: valid: a positive number"),
    (TEXT, ("--margin", "nan"), "--margin nan: valid: a positive number"),
    (TEXT, ("--tracking-uri", "x"), "--tracking-uri goes with --mlflow EXPERIMENT"),
    (TEXT, ("--mlflow", "x"), "judge takes a table (a CSV file, - for standard input) or --mlflow"),
    (cell("adam", 3, "oops"), (), "runs.csv, row 13, column accuracy: 'oops' is no number"),
    (cell("adam", 3, "0.7%"), (), "runs.csv, row 13, column accuracy: '0.7%' is no number"),
    (cell("adam", 3, "1_0"), (), "runs.csv, row 13, column accuracy: '1_0' is no number"),
    (cell("adam", 3, "1,234"), (), "runs.csv, column accuracy: 1,234 may be thousands; write a"),
    (cell("baseline", 3, "nan"), (), "runs.csv: baseline diverged (1 of 8 runs): nothing to"),
    (TEXT + "adam,3,0.5\n", (), "runs.csv: adam has seed 3 twice (row 13 and row 26); --where"),
    (table([r for r in GOOD if r[0] == "baseline"]), (), "runs.csv: baseline is the only variant"),
    (table([[*r[:2], "a"] for r in GOOD]), (), "runs.csv: no column holds numbers; --value names"),
    (table([[*r[:2], "-"] for r in GOOD]), ("--value", "accuracy"), "runs.csv: no row has a value"),
    (table([[*r, 1] for r in GOOD], "vsab"), ("--seed", "s"), "runs.csv: several columns hold num"),
    (table([[*r, r[0]] for r in GOOD], "vsax"), (), "'baseline' is in several columns; --variant"),
    (table([[*r, 1] for r in GOOD], ("v", "seed", "a", "rng")), (), "several columns may hold the"),
    (
        "seed,baseline,adam\n0,1,2\n1,x,3\n",
        (),
        "runs.csv, row 3, column baseline: 'x' is no number",
    ),
    ("seed,baseline,adam\n0,1,2\n", ("--value", "adam"), "--value adam: baseline is a column, so"),
    ("seed,baseline,adam\n0,a,b\n", (), "runs.csv: no column holds numbers"),
]


@pytest.mark.parametrize(("content", "options", "message"), MISTAKES, ids=[m for *_, m in MISTAKES])
def test_a_mistake_is_one_line(
    judged: Judge, content: str | bytes, options: tuple[str, ...], message: str
) -> None:
    assert told(judged, content, *options).startswith(message)


def test_the_file_may_be_missing_a_folder_or_locked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    for name, why in (
        ("nosuch", "there is no such file"),
        ("folder", "is a folder"),
        ("loop", "cannot be read"),
        ("", "judge takes a table"),
    ):
        assert run(["judge", name]) == 2
        error = capsys.readouterr().err
        assert why in error and error.count("\n") == 1


@pytest.mark.parametrize("option", ["--html", "--csv", "--latex"])
@pytest.mark.parametrize("place", ["folder", "runs.csv", "./runs.csv", "-", "file/x", "/dev/null"])
def test_an_output_that_cannot_be_written_is_told_before_the_table(
    judged: Judge, tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert told(judged, TEXT, option, place).startswith(f"cannot write {place}")
    assert (tmp_path / "runs.csv").read_text() == TEXT
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file", "runs.csv"}


def test_two_outputs_are_two_files(judged: Judge) -> None:
    assert told(judged, TEXT, "--csv", "x", "--latex", "./x").startswith("cannot write ./x")


def test_one_seed_shows_what_there_is(judged: Judge) -> None:
    code, output, _ = judged(table([row for row in GOOD if row[1] == 0]))
    assert code == 0 and "Below 7 pairs no p can be small; none is shown." in output
    assert output.count("not resolved") == 2


def test_a_table_comes_through_standard_input(
    monkeypatch: pytest.MonkeyPatch, judged: Judge
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cifar_tricks", "judge", "-"],
        input=TEXT.encode(), capture_output=True, cwd=ROOT / "src",
    )  # fmt: skip
    assert (done.returncode, done.stdout.decode()) == judged(TEXT)[:2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run(["judge", "-"]) == 2


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5, unique=True))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_names_hold_the_table_fits_80_columns(judged: Judge, names: list[str]) -> None:
    names = [name.replace("\0", "0").encode("utf-8", "replace").decode() for name in names]
    code, output, error = judged(table(runs(("baseline", *names))), "--baseline", "baseline")
    assert code in (0, 2) and error.count("\n") == (code == 2)
    for line in output.splitlines():
        assert line.isprintable() and len(line) <= 80


def test_ten_thousand_variants_in_seconds(judged: Judge) -> None:
    rows = [[f"v{v}", s, (v * 31 + s * 17) % 101 / 100] for v in range(10_001) for s in range(10)]
    for content in (table(rows), table([[v, x] for v, _, x in rows], ("variant", "x"))):
        started = time.process_time()
        code, output, _ = judged(content, "--baseline", "v0")
        assert code == 0 and len(output.splitlines()) > 10_000
        assert time.process_time() - started < 20


@pytest.mark.slow
def test_wide_tables_have_ten_thousand_columns_too(judged: Judge) -> None:
    header = ["seed", *(f"v{v}" for v in range(10_000))]
    rows = [[s, *((v * 31 + s * 17) % 101 / 100 for v in range(10_000))] for s in range(10)]
    code, output, _ = judged(table(rows, header), "--baseline", "v0")
    assert code == 0 and len(output.splitlines()) > 9_999


@pytest.mark.slow
def test_a_hundred_megabytes_in_bounded_time(judged: Judge) -> None:
    lines = [f"v{n % 4},{n // 4},{n * 7919 % 100_003 / 1000:.3f}" for n in range(1000)]
    count = 100_000_000 // len("\n".join(lines))
    parts = ("\n".join(f"{line[:3]}{part}x{line[3:]}" for line in lines) for part in range(count))
    content = "variant,seed,x\n" + "\n".join(parts)
    started = time.process_time()
    code, output, _ = judged(content, "--baseline", "v0")
    assert code == 0 and "t test (more than 100 runs" in output and len(content) > 10**8
    assert time.process_time() - started < 120


def test_too_many_variants_are_no_variants(judged: Judge) -> None:
    rows = [[f"{number:.6f}x", 0.5] for number in range(100_001)]
    error = told(judged, table(rows, ("id", "x")), "--baseline", "0.000000x")
    assert error.startswith("column id holds 100,001 different texts, and at most 100,000")


def test_it_needs_no_repository_and_no_git(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(TEXT)
    environment = os.environ | {"PATH": "/nonexistent", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "cifar_tricks", "judge", "runs.csv"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "adam" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]
