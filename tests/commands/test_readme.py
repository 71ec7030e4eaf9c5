"""What README and docs say of results is what the committed reports say."""

import io
import json
import re
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
import pytest
from helpers.project import ROOT

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.readme import PAGES, fill, renewed
from cifar_tricks.report.findings import Findings, direction


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_pages_hold_what_the_reports_say(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert renewed(page) == page.read_text(), "make readme writes it"


def test_the_words_of_the_answer_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sentences around the numbers claim, in docs/answer.md.j2 and docs/findings.md.j2."""
    monkeypatch.chdir(ROOT)
    first, second = Findings("full_gpu"), Findings("fixed_gpu")
    for scale in (first, second):
        for model in ("model1", "model2"):
            assert "`augment`" in scale.resolved(model, 1)
            assert "`kaiming_normal`" in scale.resolved(model, -1)
            assert scale.comparisons[f"{model}-batch_norm"]["difference_low"] > 0
    assert "batch_norm" in first.open("model1") and "batch_norm" in second.resolved("model1", 1)
    assert all("batch_norm" in one.resolved("model2", 1) for one in (first, second))
    assert "augment_online" in first.resolved("model1", 1)
    assert "augment_online" in second.resolved("model1", -1)
    assert "`dropout`" in first.resolved("model1", 1) and "`dropout`" in second.open("model1")
    assert "`dropout`" in first.open("model2") and "`dropout`" in second.resolved("model2", -1)
    steps = ("stacked", "slope", "fourth_layer", "best", "best_four_layers")
    below, above = ([s.accuracies[f"improve-{step}"] for step in steps] for s in (first, second))
    assert all(len(seeds) == 5 and max(seeds) < 0.80 for seeds in below)
    assert all(fmean(seeds) > 0.80 and sorted(seeds)[1] > 0.80 for seeds in above)
    changes = renewed(Path("docs/findings.md")).partition("| change |")[2].splitlines()[2:7]
    low = [[float(bound) for bound in re.findall(r"\[([^,]+),", row)] for row in changes]
    assert all(under_first < 0 for under_first, _ in low)
    assert [second > 0 for _, second in low] == [False, False, False, True, True]
    assert min(first.accuracies["improve-further"]) > 0.90
    assert min(first.accuracies["transfer-efficientnet_lite0"]) > 0.8968
    settings = {k: r["p_holm"] for k, r in first.comparisons.items() if "sensitivity" in k}
    assert {key.partition("-")[2] for key, p in settings.items() if p <= 0.05} == {
        "model1_rate_0_01", "model2_rate_0_01", "model1_stride_2", "model2_batch_128",
    }  # fmt: skip
    rows = renewed(Path("docs/findings.md")).partition("beyond the sum")[2].splitlines()[2:10]
    bounds = [re.search(r"\[([^[]+), ([^[]+)\] \|$", row) for row in rows]
    apart = [row for row, b in zip(rows, bounds, strict=True) if b and float(b[2]) < 0]
    assert all(b and float(b[1]) < 0 for b in bounds) and len(rows) == 8
    assert len(apart) == 1 and "combine-model1\\_batch\\_norm\\_leaky\\_relu" in apart[0]
    assert [
        len(scale.pairs[row["key"]]) for scale in (first, second) for row in scale.tricks()
    ] == [10] * 32


def test_the_words_about_the_part_that_does_it_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stopped, kept, falling = scales = [Findings(name) for name in ("full", "constant", "fixed")]
    base, dropout = (
        [s.accuracies[f"model2-{key}"] for s in scales] for key in ("baseline", "dropout")
    )
    assert {len(seeds) for seeds in (*base, *dropout)} == {10}
    assert "`dropout`" in kept.resolved("model2", 1)
    assert "`dropout`" in falling.resolved("model2", -1)
    assert fmean(stopped.pairs["model2-dropout"]) > 0
    assert max(map(fmean, base)) - min(map(fmean, base)) < 0.006
    assert min(map(fmean, dropout[:2])) - fmean(dropout[2]) > 0.02
    assert stdev(base[1]) > 0.9 * stdev(base[0])
    budget = pd.read_csv(ROOT / "reports/constant/budget.csv").query("key == 'model2-dropout'")
    curve = budget.set_index("epoch")["difference"]
    assert set(budget["n"]) == {10} and (curve[:7] < 0).all() and (curve[8.5:] > 0).all()
    assert max(kept.accuracies["improve-stacked"]) < 0.80
    for record in (ROOT / "records/constant/improve-stacked").iterdir():
        history = pd.read_csv(io.StringIO(json.loads(record.read_text())["history"]))
        assert history.query("split == 'validation'")["accuracy"].max() < 0.80
    on_gpu = Findings("full_gpu").comparisons
    for key, row in stopped.comparisons.items():
        if row["group"] == "tricks" and (direction(row) or direction(on_gpu[key])):
            assert row["difference"] * on_gpu[key]["difference"] > 0


def test_the_words_about_the_length_of_a_training_hold() -> None:
    budget = pd.read_csv(ROOT / "reports/fixed_gpu/budget.csv")
    assert set(budget["n"]) == {10}
    curves = {key: rows.set_index("epoch")["difference"] for key, rows in budget.groupby("key")}
    for model in ("model1", "model2"):
        for slow in ("dropout", "dropout2d", "augment_online"):
            assert (curves[f"{model}-{slow}"] < 0).all()
        for quick in ("adam", "batch_norm"):
            assert curves[f"{model}-{quick}"].idxmax() <= 2
            assert curves[f"{model}-{quick}"][10] < 0.3 * curves[f"{model}-{quick}"].max()
        late = curves[f"{model}-augment"]
        assert (late[late.index <= 8] < 0).all() and 0 < late[10] < 0.01
        (low,) = budget.query(f"key == '{model}-augment' and epoch == 10")["low"]
        assert low < 0
    assert (curves["model1-kaiming_normal"] < 0).all()
    turning = curves["model2-kaiming_normal"]
    assert turning[3] > 0 > turning[10]
    shrinking = pd.read_csv(ROOT / "reports/full_gpu/budget.csv")
    assert (shrinking[shrinking["epoch"] <= 4]["n"] == 10).all() and shrinking["n"].min() < 10


def test_a_missing_report_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"reports/huge/results\.csv"):
        fill("<!-- steps: huge -->\n<!-- end of steps -->")
