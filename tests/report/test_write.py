"""The report says what the runs say: numbers, holes and names, byte for byte the same each time."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from helpers.synthetic_study import ABLATION, NUM_TEST_IMAGES, RECIPE, TRICKS, make_study
from markdown_it import MarkdownIt

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.predictions import class_accuracies, read_predictions
from cifar_tricks.evidence.study_results import StudyResults, read_study
from cifar_tricks.figures.write import class_figure
from cifar_tricks.parameters.load import load_params
from cifar_tricks.report.markdown import code, escape, fenced, html, image, table
from cifar_tricks.report.write import summary, write_report
from cifar_tricks.runs.folders import read_run, run_folder, write_run

FOLDER = Path("reports/small")


def report(study: StudyResults) -> str:
    write_report(study, read_predictions(FOLDER / "predictions.csv.gz", 10), FOLDER)
    return (FOLDER / "report.md").read_text()


def measured() -> dict[str, list[float]]:
    """Test accuracies of all seeds by variant, straight from the file."""
    content = json.loads((FOLDER / "metrics.json").read_text())
    return {key: entry["test_accuracy"]["values"] for key, entry in content["variants"].items()}


def row(page: str, first: str) -> list[str]:
    """The cells of the table row that begins with this cell."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def with_spread(values: list[float], signed: str = "") -> str:
    centre = mean(values)
    variance = sum((value - centre) ** 2 for value in values) / (len(values) - 1)
    return f"{centre:{signed}.4f}<br>±&nbsp;{math.sqrt(variance):.4f}"


def section(page: str, title: str) -> str:
    """From a heading of any level to the next one."""
    return page.partition(f"# {title}\n")[2].partition("\n#")[0]


def t_interval(values: list[float]) -> str:
    """Of three values: the 97.5% quantile of t with two degrees of freedom is 4.3027."""
    assert len(values) == 3
    centre = mean(values)
    deviation = math.sqrt(sum((value - centre) ** 2 for value in values) / 2)
    half = 4.302652729911275 * deviation / math.sqrt(3)
    return f"{centre - half:+.4f} to {centre + half:+.4f}"


def test_tables_match_an_independent_calculation(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        page, values = report(study), measured()
    for model in ("model1", "narrow"):
        cells = row(section(page, model), "augment")
        trick, base = values[f"{model}-augment"], values[f"{model}-baseline"]
        differences = [a - b for a, b in zip(trick, base, strict=True)]
        bold = "**{}**" if mean(differences) > 0 else "{}"
        assert cells[1] == "3"
        assert cells[2] == bold.format(with_spread(trick))
        assert cells[3] == bold.format(f"{mean(differences):+.4f}")
        assert cells[4:6] == [t_interval(differences), "—"]
    needed = row(section(page, "model1"), "augment")[6]
    assert needed == "—" or int(needed) >= 8
    assert row(section(page, "model1"), "augment")[7:] == [
        "0.7690",
        "+0.0367",
        "better",
        "not resolved",
    ]
    # Two tricks on two nets: 4 * 2 / 2**8 = 0.031, and with seven pairs 0.063.
    assert "the sign-flip test's least p-value is 0.25, and 4 comparisons need n ≥ 8" in page


def test_epochs_of_every_variant(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        page = report(study)
        content = json.loads((run_folder("small", "model1-augment") / "run.json").read_text())
    ends = content["seeds"].values()
    epochs = [
        mean([end[name] for end in ends]) / content["steps_per_epoch"]
        for name in ("steps", "best_step")
    ]
    cells = row(page.partition("All variants in numbers")[2], "`model1-augment`")
    assert cells[4:6] == [f"{value:.1f}" for value in epochs] and cells[2] == "3"


def test_how_far_early_stopping_decides(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        assert "How far early stopping decides" not in report(study)  # all stopped alike
        for key, result in study.results.items():
            if result.run is not None and result.variant.group != "transfer":
                # Kept the later, the better it is.
                ranks = dict(zip(study.params.seeds, measured()[key], strict=True))
                seeds = {
                    seed: replace(end, best_step=round(1000 * ranks[seed]))
                    for seed, end in result.run.seeds.items()
                }
                run = replace(result.run, steps_per_epoch=100, seeds=seeds)
                write_run(run, run_folder("small", key))
        page = report(read_study(load_params()))
        html_page = (FOLDER / "index.html").read_text()
    told = section(page, "How far early stopping decides")
    num_variants = len(study.results) - 1
    assert f"Over {3 * num_variants} trainings of {num_variants} variants" in told
    # One epoch is a tenth of accuracy, up to the rounding to whole steps.
    assert "correlation 1.00" in told and "+0.1000 for each epoch" in told and "100%" in told
    assert "correlation 1.00" in html_page


def test_single_seed_has_no_interval_and_a_small_scale_its_warning(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(7,)) as study:
        page, values = report(study), measured()
        assert row(page, "baseline")[1:3] == ["1", f"{values['model1-baseline'][0]:.4f}"]
    assert row(page, "augment")[4:6] == ["—", "—"]
    assert "&nbsp;" not in page and "n = 1" in page
    assert "proves nothing about the tricks" in page
    assert page.startswith("# Training tricks on CIFAR-10: scale `small`\n")


def test_originals_stand_beside_ours(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        page = report(study)
    assert row(page, "train accuracy")[2] == "0.8797"
    assert row(page, "test accuracy")[2] == "0.7160"
    assert "0.8968" in page and "0.7239" in page and "0.7439" in page
    assert "stand beside ours.\n\n**How far" in page


def test_a_protocol_of_its_own_is_told_and_the_originals_are_left_out(tmp_path: Path) -> None:
    with make_study(tmp_path, own="{early_stop_count: null, schedule: linear}") as study:
        page, html_page = report(study), (FOLDER / "index.html").read_text()
        assert not any(result.original or result.said for result in study.results.values())
        claims = pd.read_csv(FOLDER / "comparisons.csv")
    told = section(page, "Protocol")
    assert "learning rate 0.05, which falls to zero in a straight line" in told
    assert "2 epochs; validation decides nothing" in told and "at most 2" not in told
    assert "That of the original is another" in told
    header = next(line for line in page.splitlines() if line.startswith("| trick |"))
    assert header.endswith("| p (Holm) | n to resolve |")
    assert "its claim" not in section(page, "Overview") + header
    assert "2, the last weights kept, learning rate falling to zero" in html_page
    assert "◇" not in html_page and "its claim is" not in html_page
    assert claims[["original_accuracy", "claim", "verdict"]].isna().all(axis=None)


@pytest.mark.fault("diverge")
def test_diverged_seed_is_shown_and_never_averaged_over(tmp_path: Path) -> None:
    with make_study(tmp_path, diverged={("model1-augment", 1), ("narrow-baseline", 0)}) as study:
        page = report(study)
        rows = list(csv.DictReader((FOLDER / "results.csv").open()))
        numbers = json.loads((FOLDER / "summary.json").read_text())
        values = measured()
    cells = row(section(page, "model1"), "augment")
    assert cells[1:6] == ["—", "*diverged (1 of 3 seeds)*", "—", "—", "—"]
    # Its own seeds are whole, those of its baseline are not.
    cells = row(section(page, "narrow"), "augment")
    assert cells[2] == with_spread(values["narrow-augment"])
    assert cells[3:6] == ["*baseline diverged (1 of 3 seeds)*", "—", "—"]
    assert "`model1-augment` diverged (1 of 3 seeds)" in page
    assert set(numbers) == {"seeds", "reference", "baseline_model1", "improve_best", "transfer"}
    by_seed = {(r["key"], r["seed"]): r for r in rows}
    assert by_seed["model1-augment", "1"]["status"] == "diverged"
    assert by_seed["model1-augment", "1"]["difference"] == ""
    expected = values["model1-augment"][2] - values["model1-baseline"][2]
    assert float(by_seed["model1-augment", "2"]["difference"]) == pytest.approx(expected)
    assert len(rows) == 10 * 3


def test_missing_variant_is_shown(tmp_path: Path) -> None:
    with make_study(tmp_path, missing={"narrow-leaky_relu", "improve-both"}) as study:
        page = report(study)
        rows = list(csv.DictReader((FOLDER / "results.csv").open()))
    assert row(section(page, "narrow"), r"leaky\_relu")[1:4] == ["—", "*missing*", "—"]
    assert row(page, "both")[3:5] == ["—", "*missing*"]
    assert [r["test_accuracy"] for r in rows if r["status"] == "missing"] == [""] * 6


def test_a_growing_study_compares_the_seeds_that_both_have(tmp_path: Path) -> None:
    counts = {"model1-augment": 2, "narrow-baseline": 1, "improve-both": 1}
    with make_study(tmp_path, fewer=counts) as study:
        page, values = report(study), measured()
        table = pd.read_csv(FOLDER / "comparisons.csv", index_col="key")
    cells = row(section(page, "model1"), "augment")
    first = values["model1-augment"]
    pairs = [a - b for a, b in zip(first, values["model1-baseline"], strict=False)]
    assert cells[1] == "2" and len(first) == 2 and f"{mean(pairs):+.4f}" in cells[3]
    # Three seeds of the trick, one of its baseline.
    cells = row(section(page, "narrow"), "augment")
    difference = values["narrow-augment"][0] - values["narrow-baseline"][0]
    assert cells[1] == "3" and f"{difference:+.4f}" in cells[3] and cells[4] == "—"
    assert table["n"].to_dict() == {
        "model1-augment": 2,
        "model1-leaky_relu": 3,
        "narrow-augment": 1,
        "narrow-leaky_relu": 1,
    }
    assert "n = 1 to 3 of 3 planned (0, 1, 2)" in page
    assert "missing" not in page.partition("## Overview")[2].partition("##")[0]
    # `make repro` would train the other seeds first.
    assert "make page" in section(page, "Provenance")


def test_a_net_from_imagenet_stands_beside_the_originals(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        page, values = report(study), measured()
    section = page.partition("## Transfer learning")[2].partition("\n## ")[0]
    assert "The backbone is **ResNet-18**." in section
    cells = row(section, "test accuracy")
    assert cells[1] == with_spread(values["transfer-resnet18"]) and cells[2] == "0.8968"


def test_another_backbone_than_the_preferred_is_named_in_bold(tmp_path: Path) -> None:
    choice = {"used": "efficientnet_lite0", "wanted": ["resnet18", "efficientnet_lite0"]}
    write_atomically(tmp_path / "data/pretrained/backbone.json", json.dumps(choice).encode())
    with make_study(tmp_path, seeds=(0,)) as study:
        page = report(study)
    assert "transfer-efficientnet_lite0" in study.results
    section = page.partition("## Transfer learning")[2].partition("\n## ")[0]
    assert "The backbone is **EfficientNet-Lite0**: the weights of ResNet-18" in section
    assert "could not be had" in section


def test_missing_weights_are_told(tmp_path: Path) -> None:
    with make_study(tmp_path, missing={"transfer-resnet18"}) as study:
        page = report(study)
        assert "transfer" not in summary(study)
    assert "**Missing: no source delivered the weights of ResNet-18**" in page
    assert "`transfer-resnet18` missing" in page  # among what did not come to a result


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with make_study(tmp_path / name, diverged={("model1-augment", 1)}) as study:
            report(study)
            pages.append([(FOLDER / f).read_bytes() for f in
                          ("report.md", "summary.json", "results.csv")])  # fmt: skip
    assert pages[0] == pages[1]


def test_report_without_improve(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,), improve="{}") as study:
        page = report(study)
        assert "improve_best" not in summary(study)
        assert study.best is not None and study.best.variant.group == "tricks"
    assert "lists no step under `improve`" in page


@pytest.mark.fault("diverge")
def test_everything_diverged(tmp_path: Path) -> None:
    keys = ["reference-baseline", "improve-both", "improve-wider", "transfer-resnet18"]
    keys += [
        f"{m}-{t}" for m in ("model1", "narrow") for t in ("baseline", "augment", "leaky_relu")
    ]
    with make_study(tmp_path, seeds=(0,), diverged={(key, 0) for key in keys}) as study:
        page = report(study)
        assert study.best is None and summary(study) == {"seeds": 1}
    assert "No net has been trained to a result yet." in page


def test_added_trick_shows_up(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,), tricks=f"{TRICKS}, batch_norm: {{}}") as study:
        page, values = report(study), measured()
        assert (
            f"{values['narrow-batch_norm'][0]:.4f}"
            in row(section(page, "narrow"), r"batch\_norm")[2]
        )


def test_class_table_matches_an_independent_calculation(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        best = study.best
        assert best is not None
        predictions = read_predictions(FOLDER / "predictions.csv.gz", 10)
        shares = class_accuracies(predictions, best, CIFAR10.class_names)
        expected = [
            mean([float(predictions[f"{best.key}/seed={s}"].iloc[i] == 3) for s in range(3)])
            for i in range(3, NUM_TEST_IMAGES, 10)
        ]
        page = report(study)
    assert shares["cat"] == pytest.approx(mean(expected))
    assert row(page, "cat")[2] == f"{mean(expected):.4f}"


def test_best_is_chosen_on_validation_images(tmp_path: Path) -> None:
    with make_study(tmp_path) as study:
        best = study.best
        steps = study.group("improve")
        assert best is max(steps, key=lambda step: step.mean("validation_accuracy") or 0)


def test_a_baseline_as_the_best_net_is_shown_once(tmp_path: Path) -> None:
    others = {
        f"{net}-{trick}" for net in ("model1", "narrow") for trick in ("augment", "leaky_relu")
    }
    with make_study(tmp_path, seeds=(0,), improve="{}", missing=others) as study:
        page, best = report(study), study.best
        assert best is not None and study.best_and_baseline == [best]
        assert f"| class | {best.key} |" in page.splitlines()
        sampled = [
            line
            for line in section(page, "How far the test images themselves decide").splitlines()
            if best.key in line
        ]
        assert len(sampled) == 1
        predictions = read_predictions(FOLDER / "predictions.csv.gz", 10)
        chart = class_figure(Evidence(study=study, predictions=predictions), best)
        assert [key.label for line in chart.keys for key in line] == [best.key]


def test_runs_on_different_data_are_refused(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        run = read_run("small", "narrow-augment")
        write_run(replace(run, data={"train": "cd" * 32}), run_folder("small", run.key))
        with pytest.raises(UserError, match="narrow-augment were trained on different data"):
            read_study(study.params)
        for key, copies in (("model1-augment", "ab" * 32), ("narrow-augment", "cd" * 32)):
            write_run(
                replace(read_run("small", key), data={**study.best.run.data, "copies": copies}),
                run_folder("small", key),
            )
        with pytest.raises(UserError, match="narrow-augment were trained on different copies of"):
            read_study(study.params)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"assets": []}', '{"assets": {"x": 1}}', "{}"])
def test_odd_manifest_is_no_obstacle(tmp_path: Path, content: str) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        Path("data").mkdir()
        Path("data/manifest.json").write_text(content)
        assert "data/manifest.json" in report(study)


@pytest.mark.fault("escape")
def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    evil = "a|b`c``<script>alert(1)</script>\n# x ![y](http://z) *b* ~~s~~ @someone"
    with make_study(tmp_path, seeds=(0,)) as study:
        Path("data").mkdir()
        manifest = {"assets": {evil: {"source": evil, "file": "f", "sha256": "0"}}}
        Path("data/manifest.json").write_text(json.dumps(manifest))
        page = MarkdownIt("commonmark").enable("table").render(report(study))
    assert "<script>" not in page and "http://z" in page
    assert 'src="http://z"' not in page and "<h1>x" not in page


def test_markdown_functions() -> None:
    render = MarkdownIt("commonmark").enable("table").render
    assert render(escape("*a* <b> `c` [d](e) \\ a_b_c\n# f")) == (
        "<p>*a* &lt;b&gt; `c` [d](e) \\ a_b_c # f</p>\n"
    )
    assert render(code("a`b``")) == "<p><code>a`b``</code></p>\n"
    assert html("<a & b>") == "&lt;a &amp; b&gt;"
    assert render(image("figures/a b.png", "x]y")) == (
        '<p><img src="figures/a%20b.png" alt="x]y" /></p>\n'
    )
    cells = re.findall("<td.*?>(.*?)</td>", render(table(["h", "i"], [["a|b", code("c|d")]], "lr")))
    assert cells == ["a|b", "<code>c|d</code>"]
    assert render(fenced("a\n```\nb")) == "<pre><code>a\n```\nb\n</code></pre>\n"


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("learning_rate: 0.05", "learning_rate: 0.5", '("lr": 0.05, not "lr": 0.5)'),
        ("seeds: [0, 1, 2]", "seeds: [0, 1]", "(seeds [0, 1, 2], not [0, 1])"),
        ("precision: fp32", "precision: bf16", '("precision": "fp32", not "precision": "bf16")'),
    ],
)
@pytest.mark.fault("identity")
def test_runs_of_other_parameters_are_refused_with_the_difference(
    before: str, after: str, difference: str, tmp_path: Path
) -> None:
    with make_study(tmp_path):
        text = Path("params.yaml").read_text()
        assert before in text
        Path("params.yaml").write_text(text.replace(before, after))
        with pytest.raises(UserError) as error:
            read_study(load_params())
    message = str(error.value)
    assert message.startswith("runs/small/reference-baseline was trained from other parameters")
    assert difference in message and "\n" not in message


def test_the_accuracy_in_views_stands_behind_the_plain_one(tmp_path: Path) -> None:
    improve = (
        "{seen: {model: model1, tricks: {test_time_augmentation: {}}},"
        " plain: {model: model1, tricks: {augment: {}}}}"
    )
    with make_study(tmp_path, improve=improve) as study:
        plain = report(study)
        assert "in views)" not in plain + (FOLDER / "index.html").read_text()
        content = json.loads((FOLDER / "metrics.json").read_text())
        views = {"values": [0.5, 0.6, 0.7], "mean": 0.6}
        content["variants"]["improve-seen"]["augmented_test_accuracy"] = views
        (FOLDER / "metrics.json").write_text(json.dumps(content))
        page = report(read_study(study.params))
        cells = dict(zip(row(plain, "seen"), row(page, "seen"), strict=True))
        assert [new for old, new in cells.items() if new != old] == [
            f"{with_spread(measured()['improve-seen'])} (0.6000 in views)"
        ]
        assert row(page, "plain") == row(plain, "plain")
        shown = (FOLDER / "index.html").read_text()
        assert shown.count("(0.6000 in views)") == 1


def test_the_ladder_has_the_rungs_with_a_result(tmp_path: Path) -> None:
    missing = "No result at this scale: the original's best recipe (improve-best: missing)."
    for number, (gone, rungs) in enumerate(
        {
            (): ["no trick", "the original's best recipe", "today's tricks"],
            ("improve-best",): ["no trick", "today's tricks"],
            ("improve-best", "improve-rec"): [],
        }.items()
    ):
        (tmp_path / str(number)).mkdir()
        root = tmp_path / str(number)
        with make_study(root, improve=RECIPE, ablation=ABLATION, missing=gone) as study:
            text, values = report(study), measured()
            page = (FOLDER / "index.html").read_text()
        found = [name for name in ("no trick", "today's tricks") if f"| {name} |" in text]
        assert found == [name for name in rungs if name != "the original's best recipe"]
        assert (missing in text) == (len(rungs) == 2)
        assert ('<ol class="rungs"' in page) == bool(rungs)
        if rungs:
            cells = row(text, "today's tricks")
            assert cells[1:3] == ["improve-rec", "3"]
            assert cells[3].startswith(f"{mean(values['improve-rec']):.4f} ± ")
            assert cells[5:] == ["640 images, 2 epochs, the last weights, fp32", "test processor"]
            assert "at most 2 epochs, early stopping" in row(text, "no trick")[5]
