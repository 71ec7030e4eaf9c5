"""The numbers of `judge`: those of the study, those of scipy, whatever the table looks like."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest
from helpers.judge_tables import runs, table
from helpers.project import ROOT
from scipy import stats

from cifar_tricks.evidence.statistics import ALPHA, holm

Judge = Callable[..., tuple[int, str, str]]
NAMES = ("baseline", "adam", "dropout")
SAME = {"n", "difference", "difference_low", "difference_high", "p_value", "p_holm"}


def written(judged: Judge, content: str, *options: str) -> pd.DataFrame:
    """The CSV that it writes, by variant."""
    code, _, error = judged(content, "--csv", "out.csv", *options)
    assert (code, error) == (0, "")
    return pd.read_csv("out.csv", float_precision="round_trip").set_index("variant")


@pytest.mark.parametrize("family", ["tricks", "sensitivity"])
def test_the_studys_own_results_give_its_own_numbers(judged: Judge, family: str) -> None:
    results = pd.read_csv(ROOT / "reports/full/results.csv", dtype=str, keep_default_na=False)
    is_base = (results["group"] == "tricks") & (results["trick"] == "baseline")
    rows = results[(results["group"] == family) | is_base]
    options = ("--within", "model", "--value", "test_accuracy", "--margin", "0.01")
    ours = written(judged, rows.to_csv(index=False), "--variant", "trick", *options)
    theirs = pd.read_csv(ROOT / "reports/full/comparisons.csv", float_precision="round_trip")
    theirs = theirs[theirs["group"] == family]
    assert len(theirs) == len(ours) >= 14
    for row in theirs.to_dict("records"):
        found = ours[ours["model"] == row["model"]].loc[row["trick"]]
        assert (found["flaw"] == "") or (pd.isna(found["flaw"]) and pd.isna(row["flaw"]))
        for name in SAME:
            assert found[name] == row[name] or (pd.isna(found[name]) and pd.isna(row[name])), name
        needs = (found["to_resolve"], row["seeds_to_resolve"])
        assert needs[0] == needs[1] or all(map(pd.isna, needs))
        assert found["mean"] == pytest.approx(row["test_accuracy"])
        assert found["std"] == pytest.approx(row["test_accuracy_std"], nan_ok=True)
        assert found["baseline_mean"] == pytest.approx(row["baseline_accuracy"])
        # The study judges a claim, which is the sign that the original found.
        opposite = {"better": "worse", "worse": "better"}.get(row["claim"])
        expected = {"confirmed": row["claim"], "contradicted": opposite}.get(row["verdict"])
        if row["claim"] == "little":
            assert found["within_margin"] == (row["verdict"] == "confirmed")
        elif isinstance(row["claim"], str):
            assert found["verdict"] in ({expected} if expected else {"not resolved", WITHIN})


WITHIN = "no difference larger than the margin"


def test_pairs_are_those_with_equal_seeds(judged: Judge) -> None:
    rows = runs(NAMES)
    found = written(judged, table(rows[::-1]))
    values = {name: {s: x for v, s, x in rows if v == name} for name in NAMES}
    p_values = []
    for name in NAMES[1:]:
        pairs = [values[name][seed] - values["baseline"][seed] for seed in range(8)]  # type: ignore[operator]
        one, t_test = found.loc[name], stats.ttest_1samp(pairs, 0)
        interval = t_test.confidence_interval(0.95)
        assert one["difference"] == pytest.approx(fmean(pairs))
        assert (one["difference_low"], one["difference_high"]) == pytest.approx(tuple(interval))
        flips = stats.permutation_test((pairs,), np.mean, permutation_type="samples")
        assert one["p_value"] == pytest.approx(flips.pvalue)
        p_values.append(one["p_value"])
    assert found.loc[[*NAMES[1:]], "p_holm"].tolist() == pytest.approx(holm(p_values))
    assert found["paired"].all() and (found["n"] == 8).all()


@pytest.mark.parametrize("why", ["no seeds", "other seeds", "one seed is missing"])
def test_without_equal_seeds_all_runs_are_compared_with_all(judged: Judge, why: str) -> None:
    rows = runs(NAMES)
    for number, row in enumerate(rows):
        if why == "other seeds":
            row[1] = number
    rows[-1][1] = "" if why == "one seed is missing" else rows[-1][1]
    content = table([[v, x] for v, _, x in rows], ("variant", "accuracy"))
    found = written(judged, content if why == "no seeds" else table(rows))
    ours, base = ([x for v, _, x in rows if v == name] for name in ("dropout", "baseline"))
    one, t_test = found.loc["dropout"], stats.ttest_ind(ours, base, equal_var=False)
    assert not one["paired"] and (one["n"], one["baseline_n"]) == (8, 8)
    interval = tuple(t_test.confidence_interval(0.95))
    assert (one["difference_low"], one["difference_high"]) == pytest.approx(interval)
    assert one["p_value"] == pytest.approx(t_test.pvalue, abs=0.003)


def test_seeds_without_a_partner_count_in_the_mean_only(judged: Judge) -> None:
    rows = [*runs(NAMES), ["adam", 99, 0.9]]
    found = written(judged, table(rows)).loc["adam"]
    without = written(judged, table(rows[:-1])).loc["adam"]
    assert found["n"] == 8 and found["difference"] == without["difference"]
    assert found["mean"] == pytest.approx(fmean(x for v, _, x in rows if v == "adam"))
    assert "1 run without a partner" in judged(table(rows))[1]


def test_a_column_for_each_variant_says_the_same(judged: Judge) -> None:
    rows = runs(NAMES)
    long = judged(table(rows))[1]
    wide = [[seed, *(x for v, s, x in rows if s == seed)] for seed in range(8)]
    header = ["seed", *NAMES]
    told = judged(table(wide, header))[1]
    assert told.splitlines()[:5] == long.splitlines()[:5]
    for number, row in enumerate(wide):
        row += ["host-a", "" if number == 3 else 0.7 + number / 1000]
    found = written(judged, table(wide, [*header, "machine", "late"]))
    assert [*found.index] == ["adam", "dropout", "late"] and found.loc["late", "n"] == 7


def test_lower_is_better_turns_the_verdict_and_nothing_else(judged: Judge) -> None:
    content = table(runs(NAMES))
    high, low = (written(judged, content, *o) for o in ((), ("--lower-is-better",)))
    assert (high["verdict"] == "better").all() and (low["verdict"] == "worse").all()
    assert high.drop(columns="verdict").equals(low.drop(columns="verdict"))


def test_verdicts_with_a_margin(judged: Judge) -> None:
    rows = runs(("baseline", "same", "small", "large"), shift=0.0)
    for row in rows:
        base = next(x for v, s, x in rows if v == "baseline" and s == row[1])
        wobble = ((row[1] * 5) % 8 - 3.5) / 10_000  # type: ignore[operator]
        shift = {"same": 0.0, "small": 0.002, "large": 0.02}.get(str(row[0]))
        if shift is not None:
            row[2] = base + shift + wobble  # type: ignore[operator]
    found = written(judged, table(rows), "--margin", "0.005")
    assert found["verdict"].tolist() == [WITHIN, "better", "better"]
    assert found["within_margin"].tolist() == [True, True, False]
    told = judged(table(rows), "--margin", "0.005")[1]
    assert "within margin" in told and "yet within the margin: small." in told
    assert written(judged, table(rows))["verdict"].tolist() == ["not resolved", "better", "better"]


def test_with_few_seeds_no_p_value_is_shown_and_the_number_needed_is(judged: Judge) -> None:
    content = table(runs(NAMES, seeds=5))
    found = written(judged, content)
    assert found["p_holm"].isna().all() and (found["verdict"] == "not resolved").all()
    assert "Below 7 pairs no p can be small; none is shown." in judged(content)[1]
    content = table([[v, x] for v, _, x in runs(NAMES, seeds=3)], ("variant", "accuracy"))
    assert "Below 5 runs on each side no p can be small; none is shown." in judged(content)[1]


def test_a_diverged_variant_is_not_averaged_and_still_counts(judged: Judge) -> None:
    rows = runs(NAMES)
    for text in ("nan", "NaN", "inf", "-Infinity"):
        lost = [*rows, ["broken", 0, 0.7], ["broken", 1, text]]
        found = written(judged, table(lost))
        assert found.loc["broken", "flaw"] == "diverged (1 of 2 runs)"
        assert math.isnan(found.loc["broken", "mean"]) and math.isnan(
            found.loc["broken", "difference"]
        )
        p_values = found["p_value"].dropna().tolist()
        expected = holm([*p_values, 1.0])[:2]
        assert found["p_holm"].dropna().tolist() == pytest.approx(expected)


def test_nothing_changes_from_one_call_to_the_next(judged: Judge) -> None:
    """Thirty pairs and unpaired runs: both from random arrangements."""
    rows = [*runs(NAMES, seeds=30, shift=0.002)]
    for content in (table(rows), table([[v, x] for v, _, x in rows], ("variant", "accuracy"))):
        first, second = (judged(content, "--csv", f"{n}.csv", "--latex", f"{n}.tex") for n in "ab")
        assert first == second and "99,999 random arrangements" in first[1]
        for kind in ("csv", "tex"):
            assert Path(f"a.{kind}").read_bytes() == Path(f"b.{kind}").read_bytes()


def test_false_alarms_of_whole_tables_stay_rare(judged: Judge) -> None:
    """Tables in which nothing helps: how often does it say that something does?"""
    generator, alarms, rounds = np.random.default_rng(1), 0, 60
    for number in range(rounds):
        rows = [[f"v{v}", s, x] for v in range(6) for s, x in enumerate(generator.normal(0, 1, 8))]
        content = table(rows) if number % 2 else table([r[::2] for r in rows], ("variant", "acc"))
        alarms += " better" in judged(content, "--baseline", "v0")[1].replace("is better", "")
    assert alarms / rounds <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / rounds)


def test_spread_and_digits_follow_the_data(judged: Judge) -> None:
    rows = runs(NAMES)
    told = judged(table(rows))[1]
    values = [float(str(x)) for v, _, x in rows if v == "adam"]
    assert f"{fmean(values):.4f} ± {stdev(values):.4f}" in told
    large = judged(table([[v, s, 1e9 * float(str(x))] for v, s, x in rows]))[1]
    assert "Numbers are multiples of 1e+06." in large
    assert f"{1000 * fmean(values):.1f} ± {1000 * stdev(values):.1f}" in large


@pytest.mark.parametrize("scale", [1e200, 1e150, 1e99, 1e-99, 1e-150, 1e-200, 0.0])
@pytest.mark.parametrize("paired", [True, False])
def test_values_of_any_size_are_judged_or_told(judged: Judge, scale: float, paired: bool) -> None:
    rows = [[v, s, float(str(x)) * scale] for v, s, x in runs(NAMES)]
    content = table(rows) if paired else table([r[::2] for r in rows], ("variant", "x"))
    code, output, error = judged(content)
    if 1e-190 < scale < 1e100:
        assert output.count(" better") == 3  # two, and that higher is
        assert all(len(line) <= 80 for line in output.splitlines())
    elif scale:
        kind = "large" if scale > 1 else "small"
        assert code == 2 and f"baseline has values too {kind} to average" in error
    else:
        assert output.count("not resolved") == 2 and error == ""
