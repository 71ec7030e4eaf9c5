"""Figures and plot tables: what is drawn, from which numbers, and always the same bytes."""

import csv
import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from helpers.synthetic_study import NUM_TEST_IMAGES, make_study
from PIL import Image

from cifar_tricks.base.errors import UserError
from cifar_tricks.charts.intervals import ChartRow, interval_chart
from cifar_tricks.charts.results import effect_charts, ladder_chart, within_axis
from cifar_tricks.charts.vega_lite import trick_colours
from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.evidence.curves import mean_curve, read_curves
from cifar_tricks.evidence.evidence import Evidence
from cifar_tricks.evidence.predictions import read_predictions
from cifar_tricks.evidence.statistics import Interval
from cifar_tricks.evidence.study_results import StudyResults, read_study
from cifar_tricks.figures.chart_files import FONT, Chart, light_theme, write_chart
from cifar_tricks.figures.plot_tables import write_plot_tables
from cifar_tricks.figures.write import (
    augmentation_results,
    curves_figure,
    plan_figures,
    write_figures,
)
from cifar_tricks.report.write import write_report
from cifar_tricks.runs.folders import read_run, run_folder, seed_folder, write_history, write_run

FOLDER = Path("reports/small")
HOLES = {("model1-augment", 1)}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[StudyResults]:
    """Three seeds, one of them diverged, and a variant that is missing; its plot tables."""
    with make_study(tmp_path, diverged=HOLES, missing={"narrow-leaky_relu"}) as study:
        write_plot_tables(study, predictions(), FOLDER / "plots")
        yield study


def predictions() -> pd.DataFrame:
    return read_predictions(FOLDER / "predictions.csv.gz", 10)


def read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((FOLDER / "plots" / name).read_text())))


def test_every_figure_is_there_says_something_and_is_shown(study: StudyResults) -> None:
    best = study.best
    assert best is not None
    names = [f"curves-{key}" for key in study.results]
    names += [
        "augmentation",
        "budget",
        "overview",
        "improve",
        "best",
        f"confusion-{best.key}",
        "per_class",
    ]
    (FOLDER / "figures").mkdir(parents=True, exist_ok=True)
    (FOLDER / "figures/confusion-a-former-best.png").touch()
    write_figures(study, predictions(), FOLDER / "figures")
    found = {path.stem: path for path in (FOLDER / "figures").iterdir()}
    assert set(found) == set(names)
    for path in found.values():
        with Image.open(path) as picture:
            assert picture.width == 1350 and not picture.info
            pixels = picture.convert("L")
            assert len(pixels.getcolors() or []) > 20
            # Drawn on white, with a margin: nothing is cut off.
            edge = [pixels.crop(box) for box in ((0, 0, 1350, 8), (1342, 0, 1350, picture.height))]
            assert all(strip.getextrema() == (255, 255) for strip in edge), path
    assert found["best"].read_bytes() == found[f"curves-{best.key}"].read_bytes()
    write_report(study, predictions(), FOLDER)
    links = re.findall(r"!\[.+?\]\((.+?)\)", (FOLDER / "report.md").read_text())
    assert len(links) == len(found) and {FOLDER / link for link in links} == set(found.values())


def test_rows_whose_labels_have_other_lengths_are_not_cut_off(tmp_path: Path) -> None:
    def panel(label: str) -> dict[str, Any]:
        rows = [ChartRow(label=label, mean=0.1)]
        return interval_chart(rows, title="t", axis="x", domain=(-0.2, 0.2))

    path = tmp_path / "chart.png"
    rows = [[panel("a_very_long_label_of_a_trick")], [panel("short"), panel("a_longer_one")]]
    write_chart(path, Chart(title="t", rows=rows))
    with Image.open(path) as picture:
        edge = picture.convert("L").crop((1342, 0, 1350, picture.height))
        assert edge.getextrema() == (255, 255)


def test_what_would_hide_other_ingredients_is_told_or_left_out() -> None:
    interval = Interval(low=-0.5, high=0.4)
    few = ChartRow(label="a", mean=-0.05, interval=interval, values=(-0.1, 0.0))
    assert within_axis(few) == replace(few, interval=None)
    many = replace(few, values=(-0.1, 0.0, -0.05))
    assert within_axis(many) == many
    far = within_axis(replace(many, mean=-0.5))
    assert (far.mean, far.flaw, far.flaw_side) == (None, "-0.5000, off the axis", "left")


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    outputs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with make_study(tmp_path / name, seeds=(0, 1), models=("model1",)) as study:
            plan = plan_figures(Evidence(study=study, predictions=predictions()))
            # Every kind of figure once; the curves of all variants are drawn by the same function.
            for figure in [name for name in plan if not name.startswith("curves-")]:
                write_chart(FOLDER / f"{figure}.png", plan[figure]())
            write_plot_tables(study, predictions(), FOLDER)
            paths = sorted(FOLDER.glob("*.png")) + sorted(FOLDER.glob("*.csv"))
            outputs.append({path.name: path.read_bytes() for path in paths})
    assert outputs[0] == outputs[1] and len(outputs[0]) == 5 + 5


def test_a_font_of_the_system_changes_no_byte(tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    other = TTFont(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
    for record in other["name"].names:
        if record.nameID in (1, 16):  # the family's name
            record.string = FONT
    other.save(fonts / "other.ttf")
    config = tmp_path / "fonts.conf"
    config.write_text(f"<fontconfig><dir>{fonts}</dir></fontconfig>")
    code = """
        import os
        from pathlib import Path
        from cifar_tricks.charts.intervals import ChartRow, interval_chart
        from cifar_tricks.figures.chart_files import Chart, write_chart
        row = ChartRow(label="a trick", mean=0.1)
        panel = interval_chart([row], title="t", axis="x", domain=(-0.2, 0.2))
        before = dict(os.environ)
        write_chart(Path("NAME.png"), Chart(title="A title", rows=[[panel]]))
        assert os.environ == before
    """
    drawn = []
    for name, variables in (("with", {"FONTCONFIG_FILE": str(config)}), ("without", {})):
        command = [sys.executable, "-c", dedent(code).replace("NAME", name)]
        subprocess.run(command, cwd=tmp_path, env=os.environ | variables, check=True)
        drawn.append((tmp_path / f"{name}.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_long_names_and_many_nets_find_room(tmp_path: Path) -> None:
    long = "wide" + 9 * "mmmm"
    models, improve = ("model1", "narrow", "third"), f"{{{long}: {{model: model1, tricks: {{}}}}}}"
    with make_study(tmp_path, seeds=(0,), models=models, improve=improve) as study:
        plan = plan_figures(Evidence(study=study, predictions=predictions()))
        assert [len(row) for row in plan["overview"]().rows] == [2, 1]
        for name in ("overview", "augmentation", "improve", f"curves-improve-{long}"):
            write_chart(FOLDER / "x.png", plan[name]())
            with Image.open(FOLDER / "x.png") as picture:
                right = picture.convert("L").crop((1342, 0, 1350, picture.height))
                assert right.getextrema() == (255, 255), name


def test_the_page_and_the_files_show_the_same_charts(study: StudyResults) -> None:
    evidence = Evidence(study=study, predictions=predictions())
    plan = plan_figures(evidence)
    (panels,) = plan["overview"]().rows
    charts = effect_charts(evidence)
    assert [panel["title"] for panel in panels] == ["model1", "narrow"] == [*charts]
    assert [panel["layer"] for panel in panels] == [chart["layer"] for chart in charts.values()]
    assert plan["improve"]().rows == [[ladder_chart(evidence)]]


def test_a_chart_file_has_the_colours_of_the_light_theme() -> None:
    colours = light_theme()
    assert colours["paper"] == "#ffffff" and {f"trick{n}" for n in range(10)} < set(colours)


def test_a_loss_that_runs_away_does_not_flatten_the_rest(study: StudyResults) -> None:
    def limits() -> list[float | None]:
        (panels,) = curves_figure(study, study.results["narrow-baseline"]).rows
        scales = [panel["layer"][0]["encoding"]["y"]["scale"] for panel in panels]
        return [scale.get("domainMax") for scale in scales]

    assert limits() == [None, None]
    run = read_run("small", "narrow-baseline")
    path = seed_folder("small", run.key, 0) / "history.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    sha256 = write_history(path, [{**row, "loss": 50.0} for row in rows])
    seed = replace(run.seeds[0], history_sha256=sha256)
    write_run(replace(run, seeds={**run.seeds, 0: seed}), run_folder("small", run.key))
    study = read_study(study.params)
    assert limits() == [2 * math.log(10), None]


def test_validation_table_holds_means_and_ends_where_a_seed_does(study: StudyResults) -> None:
    rows = {(r["model"], r["trick"], float(r["epoch"])): r for r in read("validation.csv")}
    losses = []
    for seed in range(3):
        history = Path(f"runs/small/narrow-augment/seed={seed}/history.csv").read_text()
        records = csv.DictReader(io.StringIO(history))
        losses.append([float(r["loss"]) for r in records if r["split"] == "validation"])
    expected = np.mean(losses, axis=0)
    # Twice the steps per epoch as without copies, and yet the same epochs.
    found = [float(rows["narrow", "augment", epoch]["loss"]) for epoch in (0.5, 1.0, 1.5, 2.0)]
    assert found == pytest.approx(list(expected))
    assert ("narrow", "baseline", 2.0) in rows
    # The second loss of the diverged seed is NaN, and nothing of the others stands for it.
    assert [key[2] for key in rows if key[:2] == ("model1", "augment")] == [0.5, 1.0]
    assert rows["model1", "augment", 1.0]["loss"] == ""
    assert not any(key[:2] == ("narrow", "leaky_relu") for key in rows)


def test_other_plot_tables(study: StudyResults) -> None:
    best = study.best
    assert best is not None
    assert list(read("curves_best.csv")[0]) == [
        "epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy",
    ]  # fmt: skip
    confusion = read("confusion.csv")
    assert len(confusion) == NUM_TEST_IMAGES and confusion[3]["actual"] == CIFAR10.class_names[3]
    right = sum(row["actual"] == row["predicted"] for row in confusion)
    accuracy = best.scores["test_accuracy"][0]
    assert accuracy is not None and right == round(accuracy * NUM_TEST_IMAGES)
    variants = [row["variant"] for row in read("test_accuracy.csv")]
    assert "model1-augment" not in variants and "model1-baseline" in variants


def test_augmentation_is_told_by_the_recipe(study: StudyResults) -> None:
    shown = {result.variant.trick for result in augmentation_results(study)}
    assert shown == {"baseline", "augment"}


def test_one_seed_one_net_and_few_rows(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(5,), models=("only",), improve="{}") as study:
        for key in ("only-baseline", "only-augment"):
            run = read_run("small", key)
            sha256 = write_history(seed_folder("small", key, 5) / "history.csv", [])
            seed = replace(run.seeds[5], history_sha256=sha256)
            write_run(replace(run, seeds={5: seed}), run_folder("small", key))
        study = read_study(study.params)
        plan = plan_figures(Evidence(study=study, predictions=predictions()))
        assert "improve" not in plan
        for name in ("curves-only-baseline", "augmentation", "overview"):
            write_chart(FOLDER / f"{name}.png", plan[name]())
        write_plot_tables(study, predictions(), FOLDER / "plots")
        assert {row["trick"] for row in read("validation.csv")} == {"leaky_relu"}


def test_colours_stay_when_a_trick_is_added() -> None:
    tricks = ["baseline", "augment", "leaky_relu"]
    before, after = trick_colours(tricks), trick_colours([*tricks, "batch_norm"])
    assert after == before | {"batch_norm": after["batch_norm"]}
    assert len(set(after.values())) == 4


@pytest.mark.fault("damage")
def test_damaged_files_are_told(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        result = study.results["model1-baseline"]
        Path("runs/small/model1-baseline/seed=0/history.csv").write_text("step,epoch\n1,x\n")
        with pytest.raises(UserError, match="dvc checkout"):
            read_curves(result)
        for content in (b"", b"image,label\n0,77\n", b"\x1f\x8b junk"):
            path = Path("damaged.csv.gz")
            path.write_bytes(content)
            with pytest.raises(UserError, match="damaged"):
                read_predictions(path, 10)


def test_mean_curve_by_step(study: StudyResults) -> None:
    result = study.results["model1-baseline"]
    curves = read_curves(result)
    means = mean_curve(curves, split="train", value="accuracy", seeds=(0, 1, 2), by="step")
    assert list(means.index) == [5, 10, 15, 20]
    part = curves[(curves["step"] == 10) & (curves["split"] == "train")]
    assert means[10] == pytest.approx(part["accuracy"].mean())
