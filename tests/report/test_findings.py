"""The words and numbers of the pages' sentences, against small reports of known content."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_tricks.base.errors import UserError
from cifar_tricks.report.findings import Findings, listed
from cifar_tricks.report.side_by_side import (
    budget_table,
    carried_counts,
    carried_csv,
    carried_table,
    protocols_table,
    turned,
)

# Of each trick on each net: its differences, seed by seed, and Holm's p.
FIRST = {
    "model1-adam": ((0.01, 0.03), 0.03),
    "model1-dropout": ((0.02, 0.02, 0.05), 0.04),
    "model2-adam": ((-0.01,), 0.2),
    "model2-dropout": ((-0.04, -0.02), 0.05),
}
SECOND = FIRST | {
    "model1-dropout": ((-0.01, -0.03), 0.01),
    "model2-adam": ((0.02, 0.04), 0.9),
}
Write = Callable[..., Findings]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the reports and records of a scale."""
    monkeypatch.chdir(tmp_path)

    def to(name: str, rows: list[dict[str, Any]]) -> None:
        with Path(name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    def scale(name: str, effects: dict[str, tuple[tuple[float, ...], float]]) -> Findings:
        folder = Path("reports", name)
        folder.mkdir(parents=True)
        compared, runs = [], []
        for key, (pairs, p) in effects.items():
            model, trick = key.split("-")
            mean = sum(pairs) / len(pairs)
            compared.append(
                dict.fromkeys(
                    ("mcnemar_p", "claim", "verdict", "flaw",
                     "baseline_accuracy", "test_accuracy"),
                    "",
                )
                | {"key": key, "group": "tricks", "model": model, "trick": trick, "n": len(pairs),
                   "test_accuracy_std": 0.01 * len(pairs), "difference": mean,
                   "difference_low": mean - 0.02, "difference_high": mean + 0.02, "p_holm": p,
                   "original_accuracy": 0.6256, "original_difference": -0.0439,
                   "seeds_to_resolve": "" if p < 0.06 else 40.0}
            )  # fmt: skip
            runs += [
                {"key": key, "seed": seed, "test_accuracy": 0.78 + pair, "difference": pair}
                for seed, pair in enumerate(pairs)
            ]
        compared.append(dict.fromkeys(compared[0], "") | {"key": "model1-gelu", "n": 0})
        to(f"{folder}/comparisons.csv", compared)
        to(f"{folder}/results.csv", runs)
        point = {"key": "model1-adam", "epoch": 0.5, "difference": 0.1234}
        to(f"{folder}/budget.csv", [point])
        views = {"model1-adam": {"augmented_test_accuracy": {"values": [0.81, 0.83]}}}
        (folder / "metrics.json").write_text(json.dumps({"variants": views}))
        record = Path("records", name, "model1-adam", "seed=0.json")
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"run": {"seeds": {"0": {"origin": {"seconds": 1800.0}}}}}))
        return Findings(name)

    return scale


def test_a_scale_says_its_numbers(write: Write) -> None:
    found = write("full", FIRST)
    assert (found.n("model1-dropout"), found.n("model1-gelu")) == (3, 0)
    assert found.accuracy("model1-adam") == "0.8000 ± 0.0141"
    assert found.accuracy("model1-gelu") == found.effect("model1-gelu") == "—"
    assert found.in_views("model1-adam") == "0.8200 ± 0.0141"
    assert found.in_views("model2-adam") == "—"
    assert found.effect("model1-adam") == "+0.020 [-0.107, +0.147]"
    assert found.effect("model2-adam") == "-0.010"  # one pair has no interval
    assert found.after("model1-adam", 0.5) == "+0.123" and found.after("model1-adam", 7) == "—"
    assert (found.deviation("model1"), found.half_interval("model1")) == ("2.50", "2.00")
    assert found.deviation("model3") == "—"
    assert found.cost() == (1, 0.5)


def test_variants_are_compared_seed_by_seed(write: Write) -> None:
    found = write("full", FIRST)
    # of the seeds that both have
    assert found.between("model1-dropout", "model1-adam") == "+0.000 [-0.127, +0.127]"
    assert found.between("model2-adam", "model1-dropout") == "-0.030"
    assert found.beyond("model1-dropout", "model1-adam") == "+0.000 [-0.127, +0.127]"
    assert found.beyond("model2-dropout", "model2-adam", "model1-dropout") == "-0.050"
    assert found.between("model1-gelu", "model1-adam") == "—"


def test_the_settings_are_a_table(write: Write) -> None:
    found = write("full", FIRST)
    assert len(found.settings().splitlines()) == 2
    row = found.comparisons["model1-adam"] | {"group": "sensitivity", "claim": "worse"}
    found.comparisons["model1-adam"] = row | {"verdict": "refuted", "p_holm": 0.0301}
    assert found.settings().splitlines()[2] == (
        "| `adam` | 2 | +0.020 [-0.107, +0.147] | 0.030 | worse | refuted |"
    )


def test_tricks_are_sorted_by_what_is_resolved(write: Write) -> None:
    found = write("full", FIRST)
    assert found.resolved("model1", 1) == "`adam` (+0.020) and `dropout` (+0.030)"
    assert (found.resolved("model1", -1), found.open("model1")) == ("none", "none")
    assert (found.resolved("model2", -1), found.open("model2")) == (
        "`dropout` (-0.030)",
        "`adam` (40)",
    )
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_seeds_that_pass_are_counted_with_an_interval(write: Write) -> None:
    found = write("full", FIRST)
    assert found.passing("model1-dropout", 0.8) == "3 of 3 [0.29, 1.00]"
    assert found.passing("model1-adam", 0.8) == "1 of 2 [0.01, 0.99]"
    assert found.passing("model1-gelu", 0.8) == "—"


def test_protocols_stand_side_by_side(write: Write) -> None:
    first = write("full", FIRST)
    second = write("fixed", {key: SECOND[key] for key in [*SECOND][1:]})
    lines = protocols_table(first, second).splitlines()
    assert (
        lines[0]
        == "| net | trick | full, n = 1 to 3 | verdict | fixed, n = 2 | verdict | original |"
    )
    assert len(lines) == 2 + 3  # what one of them lacks is left out
    assert lines[2] == (
        "| model1 | `dropout` | +0.030 [-0.013, +0.073] | helps "
        "| -0.020 [-0.147, +0.107] | hurts | -0.0439 |"
    )
    assert lines[3].count("not resolved") == 2
    assert turned(first, second).splitlines() == [
        "- **`model1-dropout`**: +0.030 [-0.013, +0.073] to -0.020 [-0.147, +0.107]",
    ]  # `model2-adam` has another sign too, resolved at neither
    assert turned(first, first) == "- none"
    third = write("third", FIRST | {"model1-adam": ((-0.01, -0.03), 0.7)})
    assert (
        turned(first, third)
        == "- `model1-adam`: +0.020 [-0.107, +0.147] to -0.020 [-0.147, +0.107]"
    )


def test_the_effect_stands_against_the_length_of_the_training(write: Write) -> None:
    lines = budget_table(write("full", FIRST), 0.5, 10).splitlines()
    assert lines[0] == "| net | trick | after 0.5 | after 10 |"
    assert lines[2] == "| model1 | `adam` | +0.123 | — |" and len(lines) == 2 + len(FIRST)


def test_findings_carry_over_or_not(write: Write) -> None:
    first = write("small", FIRST)
    second = write("fashion", {key: SECOND[key] for key in [*SECOND][:3]})
    lines = carried_table(first, second).splitlines()
    assert lines[0] == (
        "| net | trick | small, n = 1 to 3 | verdict | fashion, n = 2 | verdict | of the two |"
    )
    ends = [line.split(" | ")[-1] for line in lines[2:]]
    assert ends == ["carries over |", "turns round |", "resolved at neither |"]
    said = "1 carries over, 1 turns round, 1 resolved at neither"
    assert carried_counts(first, second) == said
    rows = list(csv.DictReader(carried_csv(first, second).splitlines()))
    assert [row["of_the_two"] for row in rows] == [end.removesuffix(" |") for end in ends]
    assert (rows[1]["small_says"], rows[1]["fashion_says"]) == ("helps", "hurts")
    assert float(rows[1]["fashion_difference"]) == pytest.approx(-0.02)


def test_ingredients_are_a_table_where_they_are_on_record(write: Write) -> None:
    found = write("first", FIRST)
    assert found.ingredients() == ""
    names = ("ingredient", "change", "model", "n", "test_accuracy", "in_views")
    names += ("difference", "difference_low", "difference_high", "p_holm")
    lines = [
        ("gelu", "left out", "model1", 10, 0.9228, 0.93, -0.012, -0.02, -0.004, 0.0402),
        ("silu", "alone", "model2", 1, 0.7, "", 0.03, "", "", ""),
        ("dirac", "left out", "model1", 0, "", "", "", "", "", ""),
    ]
    text = "\n".join(",".join(map(str, line)) for line in (names, *lines))
    path = Path("reports/first/ingredients.csv")
    path.write_text(text + "\n")
    assert found.ingredients().splitlines()[2:] == [
        "| `gelu` | left out | 10 | 0.9228 | 0.9300 | -0.012 [-0.020, -0.004] | 0.040 |",
        "| `silu` | alone on model2 | 1 | 0.7000 | — | +0.030 — | — |",
    ]
    assert found.ingredients_that(-1, "left out", "model1") == "`gelu`"
    assert (
        found.ingredients_that(1, "left out", "model1")
        == found.ingredients_that(1, "alone", "model2")
        == "none"
    )
    assert found.ingredients_that(0, "alone", "model2") == "`silu`"
    path.write_text(",".join(names) + "\n")
    assert found.ingredients() == ""


def test_a_missing_report_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"reports/huge/results\.csv cannot be read"):
        Findings("huge").n("model1-adam")
