"""What is on record of a recipe's ingredients, compared with it and with the baselines."""

import csv
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest
from helpers.synthetic_study import (
    ABLATION,
    NUM_TEST_IMAGES,
    RECIPE,
    make_study,
    predictions,
    write_synthetic_record,
)

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import signed, to_json
from cifar_tricks.evidence.ingredients.cells import alone_rows, changed_rows, ingredients_csv
from cifar_tricks.evidence.ingredients.read import Ingredients, read_ingredients
from cifar_tricks.evidence.study_results import StudyResults, read_study
from cifar_tricks.parameters.dependencies import study_parameters
from cifar_tricks.parameters.variants import planned_variants
from cifar_tricks.report.write import write_report
from cifar_tricks.runs.folders import record_file

CHANGED = ["without_leaky_relu", "without_label_smoothing", "silu", "wide"]
RECORDED = {f"ablation-{name}": 10 for name in CHANGED[:3]} | {"narrow-gelu": 10}
VIEWS = "test_time_augmentation"
STUDY = {"improve": RECIPE, "ablation": ABLATION}


def read(study: StudyResults) -> Ingredients:
    found = read_ingredients(study, predictions())
    assert found is not None
    return found


def accuracies(key: str) -> list[float]:
    """Straight from metrics.json, or from the answers of the records."""
    measured = json.loads(Path("reports/small/metrics.json").read_text())["variants"]
    if key in measured:
        return [*measured[key]["test_accuracy"]["values"]]
    records = [json.loads(p.read_text()) for p in sorted(Path("records/small", key).iterdir())]
    digits = [record["answers"]["predictions"] for record in records]
    return [fmean(int(d) == n % 10 for n, d in enumerate(each)) for each in digits]


def sign_flip_p(differences: Sequence[float]) -> float:
    signs = [*product((-1, 1), repeat=len(differences))]
    sums = [sum(s * d for s, d in zip(each, differences, strict=True)) for each in signs]
    return fmean(abs(one) >= abs(sum(differences)) - 1e-12 for one in sums)


def holm(p_values: Mapping[str, float], count: int) -> dict[str, float]:
    adjusted, last = {}, 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda one: one[1])):
        adjusted[key] = last = max(last, min(1.0, p * (count - rank)))
    return adjusted


def write_views(values: Sequence[float]) -> None:
    """Gives the recipe accuracies in several views."""
    path = Path("reports/small/metrics.json")
    content = json.loads(path.read_text())
    views = {"values": [*values], "mean": fmean(values)}
    content["variants"]["improve-rec"]["augmented_test_accuracy"] = views
    path.write_text(json.dumps(content))


def test_differences_match_an_independent_calculation(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=tuple(range(10)), recorded=RECORDED, **STUDY) as study:
        views = [value + 0.01 * (1 + seed) for seed, value in enumerate(accuracies("improve-rec"))]
        write_views(views)
        found = read(read_study(study.params))
        whole = accuracies("improve-rec")
        pairs = {
            name: [a - b for a, b in zip(accuracies(f"ablation-{name}"), whole, strict=True)]
            for name in CHANGED[:3]
        }
        pairs[f"without_{VIEWS}"] = [a - b for a, b in zip(whole, views, strict=True)]
        rows = {row["key"]: row for row in csv.DictReader(ingredients_csv(found).split("\n"))}
        p_values = holm({name: sign_flip_p(pairs[name]) for name in pairs}, count=5)
        for name, differences in pairs.items():
            row = rows[f"ablation-{name}"]
            assert float(row["difference"]) == pytest.approx(fmean(differences))
            assert float(row["p_holm"]) == pytest.approx(p_values[name])
            assert row["n"] == "10"
        assert rows[f"ablation-without_{VIEWS}"]["compared_with"] == "improve-rec in views"
        assert (
            float(rows[f"ablation-without_{VIEWS}"]["p_holm"]) < 0.05
        )  # all ten differences have one sign
        keys = ("narrow-gelu", "narrow-baseline")
        gelu = [a - b for a, b in zip(*map(accuracies, keys), strict=True)]
        assert float(rows["narrow-gelu"]["difference"]) == pytest.approx(fmean(gelu))
        assert float(rows["narrow-gelu"]["p_holm"]) == pytest.approx(min(1, 2 * sign_flip_p(gelu)))
        assert rows["ablation-wide"]["flaw"] == "missing"
        assert found.untrained == ["ablation-wide", "narrow-label_smoothing"]
        assert [*found.alone] == ["narrow"]  # of model1 nothing is on record
        shown = changed_rows(found)
        assert [row["ingredient"] for row in shown] == [
            *("improve-rec", VIEWS, "leaky_relu", "label_smoothing", "silu")
        ]
        changes = [row["change"] for row in shown]
        assert changes[1:3] == ["scored without views", "left out"]
        assert changes[4] == "without leaky_relu, with silu"
        assert shown[0]["in views"] == f"{fmean(views):.4f}"
        assert [row["trick"] for row in alone_rows(found)] == ["baseline", "gelu"]


def test_few_seeds_resolve_nothing_and_the_report_says_so(tmp_path: Path) -> None:
    with make_study(tmp_path, recorded={"ablation-wide": 2}, **STUDY) as study:
        write_report(study, predictions(), Path("reports/small"))
        report = Path("reports/small/report.md").read_text()
        page = Path("reports/small/index.html").read_text()
        for text in (report, page):
            assert "What each ingredient gives" in text
            assert "n ≥ 8 are needed for any of them to be resolved" in text
            assert "Not on record yet, and counted as not resolved" in text
            assert "It is a smaller training than the recipe's own: 640 images, 2 epochs" in (
                text.replace("&#39;", "'")
            )
        (row,) = [line for line in report.splitlines() if line.startswith("| wide | filters 16 |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == "2" and cells[-2:] == ["—", "—"] and cells[5] != "—"
        assert '"ingredients-improve-rec"' in page and 'id="t-ingredients"' in page


def test_without_records_nothing_is_shown(tmp_path: Path) -> None:
    with make_study(tmp_path, **STUDY) as study:
        write_report(study, predictions(), Path("reports/small"))
        assert "ingredient" not in Path("reports/small/report.md").read_text()
        assert 'id="ingredients"' not in Path("reports/small/index.html").read_text()
        table = Path("reports/small/ingredients.csv").read_text()
        assert table.startswith("key,compared_with,ingredient,") and table.count("\n") == 1
        assert "ablation" not in study_parameters(study.params)
        variant = planned_variants(study.params, ablation=True)["ablation-wide"]
        path = write_synthetic_record(study.params, variant, 0)
        assert read_ingredients(study, predictions())
        # So DVC makes the report anew.
        assert [*study_parameters(study.params)["ablation"]] == [str(path)]
        ignored = study.params.model_copy(update={"records": "ignore"})
        assert read_ingredients(StudyResults(params=ignored, results={}), predictions()) is None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("run", "recipe", "batch_size"), 32),
        (("run", "data", "train"), "cd" * 32),
        (("answers", "images"), 100),
    ],
)
def test_a_record_of_another_training_is_left_aside(
    place: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    with make_study(tmp_path, recorded={"ablation-wide": 2, "narrow-gelu": 2}, **STUDY) as study:
        change(record_file("small", "ablation-wide", 0), place, value)
        found = read(study)
        assert found.refused == 1
        assert found.study.results["ablation-wide"].seeds == (1,)


def test_a_record_that_contradicts_the_test_images_is_told(tmp_path: Path) -> None:
    with make_study(tmp_path, recorded={"ablation-wide": 1}, **STUDY) as study:
        path = record_file("small", "ablation-wide", 0)
        change(path, ("answers", "predictions"), "0" * NUM_TEST_IMAGES)
        with pytest.raises(UserError, match=f"{path} contradicts the test images"):
            read(study)
        path.write_text("{")
        with pytest.raises(UserError, match=f"{path} is damaged"):
            read(study)


def change(path: Path, place: tuple[str, ...], value: object) -> None:
    """Changes a value of a signed file."""
    content = json.loads(path.read_text())
    del content["sha256"]
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_bytes(to_json(signed(content)))
