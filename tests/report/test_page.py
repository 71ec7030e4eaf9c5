"""The page as a file: whole, escaped, with the study's numbers, the same bytes each time."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.project import ROOT
from helpers.synthetic_study import COMBINE, FACTORIAL, SENSITIVITY, make_study, predictions

from cifar_tricks.base.files import write_atomically
from cifar_tricks.charts.html import embed, html_table
from cifar_tricks.charts.intervals import ChartRow, common_domain, interval_chart
from cifar_tricks.evidence.effects import tricks_family
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.statistics import Interval
from cifar_tricks.evidence.study_results import StudyResults
from cifar_tricks.report import speed
from cifar_tricks.report.page.comparisons import answer
from cifar_tricks.report.write import write_report

FOLDER = Path("reports/small")
WHOLE = {"combine": COMBINE, "factorial": FACTORIAL, "sensitivity": SENSITIVITY}
VOID = {"area", "br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """Checks that elements nest, and collects tables, ids and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[tuple[str, str, str]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.table = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if identity := fields.get("id"):
            self.ids.append(identity)
            if identity.startswith("t-") and tag == "div":
                self.table = identity
                self.rows[identity] = []
        for name in ("src", "href"):
            if value := fields.get(name):
                self.addresses.append((tag, name, value))
        if self.table and tag == "tr":
            self.rows[self.table].append([])
        if self.table and tag in ("td", "th"):
            self.rows[self.table][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())
        if tag == "table":
            self.table = ""

    def handle_data(self, data: str) -> None:
        if self.table and self.rows[self.table] and self.rows[self.table][-1]:
            self.rows[self.table][-1][-1] += data.strip()


def build(study: StudyResults) -> str:
    write_report(study, predictions(), FOLDER)
    return (FOLDER / "index.html").read_text()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    with make_study(tmp_path, seeds=tuple(range(8)), **WHOLE) as study:
        yield build(study)


def test_two_builds_give_the_same_bytes(page: str, tmp_path: Path) -> None:
    other = tmp_path / "another folder"
    other.mkdir()
    with make_study(other, seeds=tuple(range(8)), **WHOLE) as study:
        assert build(study) == page


def test_it_is_one_sound_file_that_asks_no_host(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    for tag, name, value in parsed.addresses:
        assert value.startswith(("#", "data:")), (tag, name, value[:80])
        if value.startswith("#"):
            assert value[1:] in parsed.ids, value
    outside_scripts = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"@import|url\((?!data:)", outside_scripts)
    assert len(page) < 6_000_000
    assert "default-src 'none'" in page.partition("<style")[0]


def test_every_stack_stands_beside_its_baseline(page: str) -> None:
    header, row = Page(page).rows["t-stacks"]
    cells = dict(zip(header, row, strict=True))
    content = json.loads((FOLDER / "metrics.json").read_text())["variants"]
    keys = ("combine-both", "model1-baseline")
    ours, base = (content[key]["test_accuracy"]["values"] for key in keys)
    difference = sum(map(float.__sub__, ours, base)) / len(ours)
    assert cells["n"] == "8" and cells["test accuracy"].startswith(f"{sum(ours) / 8:.4f} ± ")
    assert cells["difference"] == f"{difference:+.4f}".replace("-", "\N{MINUS SIGN}")
    assert " to " in cells["95% interval"]


def test_the_overview_holds_the_numbers_of_the_analysis(page: str) -> None:
    with_names = [
        dict(zip(Page(page).rows["t-overview"][0], row, strict=True))
        for row in Page(page).rows["t-overview"][1:]
    ]
    from cifar_tricks.evidence.study_results import read_study
    from cifar_tricks.parameters.load import load_params

    family = tricks_family(read_study(load_params()), predictions())
    shown = {(row["net"], row["trick"]): row for row in with_names}
    assert len(shown) == len(with_names) == len(family.effects) + 2
    for effect in family.effects:
        row = shown[effect.result.variant.model, effect.result.variant.trick]
        assert effect.comparison is not None and effect.adjusted_p is not None
        interval = effect.comparison.summary.interval
        assert interval is not None and effect.mcnemar is not None
        # Minus signs, not hyphens.
        difference = f"{effect.comparison.summary.mean:+.4f}"
        assert row["difference"] == difference.replace("-", "\N{MINUS SIGN}")
        bounds = f"{interval.low:+.4f} to {interval.high:+.4f}"
        assert row["95% interval"] == bounds.replace("-", "\N{MINUS SIGN}")
        assert row["p (Holm)"] == f"{effect.adjusted_p:.3f}"
        assert row["its claim is"] == (effect.verdict or "—")
    assert shown["model1", "leaky_relu"]["original"] == "0.7439 (+0.0116)"
    # Whatever stands in a chart is a number of the study too.
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    means = {
        value["label"]: value["mean"]
        for layer in charts["effects-model1"]["layer"]
        for value in layer["data"]["values"]
        if "mean" in value
    }
    assert means == {e.result.variant.trick: e.comparison.summary.mean for e in family.of("model1")}  # type: ignore[union-attr]


def test_every_run_can_be_found(page: str) -> None:
    ids = Page(page).ids
    with_names = [identity for identity in ids if identity.startswith("run-")]
    assert len(with_names) == 1 + 6 + 2 + 1 + 3 + 1
    assert "model1-augment seed=7" in page and "runs/small/model1-augment" in page


@pytest.mark.parametrize(
    ("seeds", "texts"),
    [
        ((4,), ["With n = 1 seed nothing can be decided", "need n ≥ 8", ">one run<"]),
        ((0, 1, 2), ["the least p-value that 3 pairs can give is 0.25", "need n ≥ 8"]),
        (tuple(range(8)), ["Of the original&#39;s 2 claims with a result here:"]),
    ],
)
def test_it_says_what_the_seeds_allow(
    seeds: tuple[int, ...], texts: list[str], tmp_path: Path
) -> None:
    with make_study(tmp_path, seeds=seeds) as study:
        page = re.sub(r"\s*\n\s*", "", build(study))
    for text in texts:
        assert text.replace(">", "") in page.replace("> ", "").replace(">", ""), text


def test_holes_are_named_at_the_top_and_in_the_table(tmp_path: Path) -> None:
    holes = {"diverged": {("model1-augment", 1)}, "missing": {"narrow-leaky_relu", "improve-both"}}
    with make_study(tmp_path, **holes) as study:  # type: ignore[arg-type]
        page = build(study)
    top = page[page.index("<main>") : page.index('id="overview"')]
    assert "3 of 11 variants" in top or "3 of" in top
    for key, flaw in {
        "model1-augment": "diverged (1 of 3 seeds)",
        "narrow-leaky_relu": "missing",
        "improve-both": "missing",
    }.items():
        assert f'<a href="#run-{key}">{key}</a>: {flaw}' in top
    rows = {tuple(row[:2]): row for row in Page(page).rows["t-overview"]}
    assert rows["augment", "model1"][2:6] == ["—", "diverged (1 of 3 seeds)", "—", "—"]
    assert rows["leaky_relu", "narrow"][2:6] == ["—", "missing", "—", "—"]


@pytest.mark.fault("escape")
def test_strings_stay_text(tmp_path: Path) -> None:
    attack = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    manifest = {"assets": {attack: {"source": attack}}, "files": {}}
    write_atomically(tmp_path / "data/manifest.json", json.dumps(manifest).encode())
    facts = {"backbone": attack, "photo": attack, "photo_class": attack, "photo_probability": 0.5}
    facts |= {"own_nets": [], "explained": attack}
    with make_study(tmp_path, seeds=(0,)) as study:
        write_atomically(FOLDER / "activations.json", json.dumps(facts).encode())
        layers = study.params.visualize.layers["resnet18"].model_copy(update={"first": attack})
        visualize = study.params.visualize.model_copy(
            update={"image": attack, "layers": {"resnet18": layers}}
        )
        object.__setattr__(study.params, "visualize", visualize)
        page = build(study)
    Page(page)
    assert "alert(" in page and "<script>alert" not in page and "<img src=x" not in page


@pytest.mark.fault("escape")
def test_tables_and_data_escape_what_they_hold() -> None:
    text = '<b title="&">\u2028</script>'
    html = str(html_table([{text: text}], name="t-x", caption=text))
    assert "<b" not in html and "</script" not in html
    assert Page(html).rows["t-x"] == [[text.replace("\u2028", "\u2028").strip()]] * 2
    embedded = embed({"a": text})
    assert not set("<>&\u2028") & set(embedded) and json.loads(embedded) == {"a": text}


def test_an_axis_holds_everything() -> None:
    rows = [
        ChartRow(
            label="a", mean=0.1, interval=Interval(low=-0.2, high=0.4), values=(0.5,), original=-0.3
        )
    ]
    low, high = common_domain(rows, include=(0.0,))
    assert low < -0.3 and high > 0.5
    assert common_domain([]) == (-0.06, 1.06)


@pytest.mark.parametrize(("half", "digits"), [(0.2, 2), (0.02, 3), (0.004, 3), (0.002, 4)])
def test_an_axis_has_digits_enough_to_tell_its_ticks_apart(half: float, digits: int) -> None:
    rows = [ChartRow(label="a", mean=0.0)]
    chart = interval_chart(rows, title="t", axis="x", domain=(-half, half))
    (expression,) = {
        axis["labelExpr"]
        for layer in chart["layer"]
        if (axis := layer["encoding"]["x"].get("axis"))
    }
    assert f"'+.{digits}f'" in expression


def test_only_numbers_get_minus_signs() -> None:
    row = {"name": "ResNet-18", "value": "-0.1 to -0.2", "hash": "ab-1"}
    html = str(html_table([row], name="t-x", caption="c", numbers=["value", "hash"]))
    assert Page(html).rows["t-x"][1] == ["ResNet-18", "\u22120.1 to \u22120.2", "ab-1"]


def test_a_study_that_has_only_begun_shows_what_it_has(tmp_path: Path) -> None:
    missing = {"model1-baseline", "model1-augment", "model1-leaky_relu", "improve-both"}
    with make_study(tmp_path, missing={*missing, "improve-wider"}) as study:
        page, report = build(study), (FOLDER / "report.md").read_text()
    assert '<input type="radio" name="net" value="narrow" checked>' in page
    for text in (page, report):
        assert "No step has a result at this scale yet" in text
        assert "No step passes" not in text


def test_the_training_speed_is_there_where_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
    with make_study(tmp_path / "without", seeds=(0,)) as study:
        assert "Not measured yet" in build(study)
    monkeypatch.setattr(speed, "BENCH", ROOT / speed.BENCH)
    with make_study(tmp_path / "with", seeds=(0,)) as study:
        rows = Page(build(study)).rows["t-speed"]
    measured = json.loads(speed.BENCH.read_bytes())["nets"]
    assert [row[0] for row in rows[1:]] == [*measured]


def test_the_answer_tells_too_few_seeds_from_no_effect(tmp_path: Path) -> None:
    fewer = {"model1-augment": 2, "model1-leaky_relu": 2, "narrow-augment": 2}
    with make_study(tmp_path, seeds=tuple(range(8)), fewer=fewer) as study:
        found = answer(Evidence(study=study, predictions=predictions()))
    assert found[0] == "model1: augment and leaky_relu have too few seeds to tell."
    assert "; augment has too few" in found[1] or ": augment has too few" in found[1]
    assert "leaky_relu has" not in found[1]
