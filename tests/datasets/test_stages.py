"""Other images than CIFAR-10's through the stages, on record, and side by side."""

import csv
import html
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.champion import run_stage
from helpers.image_folder import write_image_folder
from helpers.project import ROOT, link_code
from PIL import Image
from ruamel.yaml import YAML

from cifar_tricks.__main__ import run as command
from cifar_tricks.base.arrays import read_arrays, write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.commands import review
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.data import backbone_weights, photo_source
from cifar_tricks.data.assets import Http
from cifar_tricks.engines.arrivals import objection
from cifar_tricks.engines.study import Study
from cifar_tricks.evaluation.classifier import load_classifier
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import record_file
from cifar_tricks.runs.plan import plan

PARAMS = """\
scale: quick
model: model1
trick: baseline
device: cpu
records: use
data: {dataset: digits}
train: {learning_rate: 0.1, batch_size: 16, validations_per_epoch: 2, early_stop_count: 4}
models:
  model1: {filters: [8, 8], kernel_size: 3, stride: 1, padding: 1, pool: 2, hidden: [16]}
reference: {filters: [6], kernel_size: 3, stride: 1, padding: 1, pool: 4, hidden: [8]}
factorial: {}
visualize: {layers: {}}
tricks: {baseline: {}, augment: {padding: 2}, batch_norm: {}}
improve:
  best:
    model: model1
    tricks: {whitening: {images: 100}, batch_norm: {}, translate: {pixels: 1},
             test_time_augmentation: {}}
combine: {}
sensitivity:
  batch_8: {model: model1, train: {batch_size: 8}}
transfer: {backbones: [resnet18], learning_rate: 0.0005, batch_size: 16,
           image_size: 32, cache_gb: 1.0}
scales:
  quick: &size {train_images: 320, validation_images: 64, test_images: 100, num_epochs: 3,
                seeds: [0], precision: fp32, threads: 1}
  cifar: {<<: *size, data: {dataset: cifar10}}
"""
KEYS = ("reference-baseline", "model1-baseline", "model1-augment", "model1-batch_norm")
KEYS += ("improve-best", "sensitivity-batch_8")
CHAMPION = Path("reports/quick/champion")
# What belongs to CIFAR-10, or to the report that was written about it.
FOREIGN = re.compile(r"cifar.?10|airplane|original|near-dup|\btask \d|0\.80|reads? as one of", re.I)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code and these parameters, the current one; no host can be reached."""
    folder = tmp_path / "a folder ü"
    link_code(folder)
    (folder / "params.yaml").write_text(PARAMS)
    nowhere = Http(url="http://127.0.0.1:9/nobody-listens")
    asset = backbone_weights.BACKBONE_ASSETS["resnet18"]
    none = {"resnet18": replace(asset, sources=(replace(asset.sources[0], via=nowhere),))}
    fetch = partial(backbone_weights.fetch_backbone, assets=none)
    monkeypatch.setattr(backbone_weights, "fetch_backbone", fetch)
    photo = replace(photo_source.PHOTO, sources=photo_source.PHOTO.sources[1:])
    monkeypatch.setattr(photo_source, "fetch_photo", partial(photo_source.fetch_photo, asset=photo))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def through_the_stages() -> None:
    for name in ("check", "download", "augment"):
        run_stage(name)
    for key in KEYS:
        run_stage("train", key)
    run_stage("evaluate", "--partial")
    for name in ("exercises", "visualize", "champion", "report"):
        run_stage(name)


def test_digits_from_check_to_predict(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    through_the_stages()
    report, page = (Path("reports/quick", name).read_text() for name in ("report.md", "index.html"))
    text = page[page.index("<body>") : page.index("<script")]
    for shown in (report, text, (CHAMPION / "card.md").read_text()):
        assert not FOREIGN.search(shown), FOREIGN.search(shown)
        assert "scikit-learn's digits" in html.unescape(shown)
    assert "28 x 28 pixels. Gray images" in report
    assert "320 of the 1,297 training images" in report
    metrics = json.loads(Path("reports/quick/metrics.json").read_bytes())["variants"]
    assert {one["reference"] for one in metrics.values()} == {None}
    assert metrics["improve-best"]["test_accuracy"]["mean"] > 0.5

    test = read_arrays("data/dataset/test.safetensors")
    classifier = load_classifier(CHAMPION)
    images = test["images"][:100].transpose(0, 2, 3, 1)
    assert images.shape[1:] == (28, 28, 3)
    answers = classifier.probabilities(images).argmax(1)
    accuracy = (answers == test["labels"][:100]).mean()
    assert accuracy == pytest.approx(classifier.about["test_accuracy"])
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("photo.png")
    capsys.readouterr()
    assert command(["predict", "photo.png"]) == 0
    assert "28 x 28 pixels and knows these ten classes only" in capsys.readouterr().out
    beside_another_scale()


def beside_another_scale() -> None:
    """Which has a report by now."""
    path = Path("params.yaml")
    path.write_text(
        path.read_text().replace("scale: quick", "scale: again")
        + "  again: {<<: *size, num_epochs: 1, beside: quick}\n"
    )
    for key in ("model1-baseline", "model1-batch_norm"):
        run_stage("train", key)
    run_stage("evaluate", "--partial")
    run_stage("report")
    folder = Path("reports/again")
    report, page = (folder.joinpath(name).read_text() for name in ("report.md", "index.html"))
    assert "## Beside scikit-learn's digits" in report and 'id="beside"' in page
    assert "whose trainings differ in more than the images" in report
    assert "Of the tricks with a result at both: 1 resolved at neither." in report
    (row,) = csv.DictReader((folder / "beside.csv").read_text().splitlines())
    assert row["key"] == "model1-batch_norm" and row["quick_n"] == row["again_n"] == "1"


def test_a_folder_of_many_classes(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More than tables show, and than one digit tells apart; with names that mean something."""
    names = [f"kind {number}" for number in range(19)]
    # The last is Persian, and joined by a character that nobody sees.
    names += [
        "st. bernard",
        "actual",
        "<b>|*犬*",
        "=1+1",
        "\u062e\u0627\u0646\u0647\u200c\u0647\u0627",
    ]
    write_image_folder(Path("my photos"), names, train=6, test=2)
    sizes = {"320": "96", "validation_images: 64": "validation_images: 32", "100, num": "48, num"}
    text = PARAMS.replace("dataset: digits", "dataset: 'folder:my photos'")
    for before, after in sizes.items():
        assert before in text
        text = text.replace(before, after)
    Path("params.yaml").write_text(text)
    through_the_stages()
    report, page = (Path("reports/quick", name).read_text() for name in ("report.md", "index.html"))
    assert "24 classes, 32 x 32 pixels" in report and "24 classes, 32 x 32 pixels" in page
    assert "Of 24 classes, these are the 20 that it recognises least" in report
    assert "<b>|" not in page and "&lt;b&gt;|*犬*" in page
    table = Path("reports/quick/plots/confusion.csv").read_text()
    assert set(table.splitlines()[0].split(",")) == {"actual", "predicted"}
    assert len(table.splitlines()) == 49
    assert load_classifier(CHAMPION).about["classes"] == sorted(names)

    # On record, and taken over with its answers.
    params = load_params()
    record_seeds(params, "model1-batch_norm", [0])
    record = json.loads(record_file("quick", "model1-batch_norm", 0).read_bytes())
    assert len(record["answers"]["predictions"]) == 2 * 48
    accuracy = json.loads(Path("reports/quick/metrics.json").read_bytes())["variants"]
    shutil.rmtree("resume", ignore_errors=True)
    shutil.rmtree("runs/quick/model1-batch_norm")
    run_stage("train", "model1-batch_norm")
    assert "taken over" in capsys.readouterr().out
    run_stage("evaluate", "--partial")
    again = json.loads(Path("reports/quick/metrics.json").read_bytes())["variants"]
    assert (
        again["model1-batch_norm"]["test_accuracy"]
        == accuracy["model1-batch_norm"]["test_accuracy"]
    )


def test_a_record_of_other_images_is_refused(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("check", "download", "augment"):
        run_stage(name)
    record_seeds(load_params(), "model1-baseline", [0])
    # The same recipe on other images of the same size and number.
    path = Path("data/dataset/train.safetensors")
    arrays = read_arrays(path)
    write_arrays(path, {"images": arrays["images"][:, :, ::-1], "labels": arrays["labels"]})
    params, record = load_params(), record_file("quick", "model1-baseline", 0)
    with pytest.raises(UserError, match=r"not what params.yaml plans: data.train = .*, here "):
        review.check(params, record)
    study = Study(params, "cifar_tricks.commands.record", "cpu")
    assert "data.train = " in objection(study, "model1-baseline", 0, record.read_bytes())
    run_stage("train", "model1-baseline")
    assert "is not taken over: data.train = " in capsys.readouterr().out


MISTAKES = {
    "dataset: digits": (
        "dataset: digit",
        "data.dataset = digit: unknown; did you mean digits? valid: cifar10, ",
    ),
    "dataset: cifar10": ("dataset: cifar11", "scales.cifar.data.dataset = cifar11: unknown"),
    "data: {dataset: digits}": ("data: {dataset: 'folder:x'}", "data.dataset = folder:x: "),
    "train_images: 320": (
        "train_images: 1300",
        "scales.quick: train_images + validation_images = 1364: scikit-learn's digits has 1297",
    ),
    "test_images: 100": ("test_images: 501", "test_images = 501: scikit-learn's digits has 500"),
    # Which fit 32 x 32 pixels.
    "pool: 2, hidden": ("pool: 6, hidden", "models.model1: the feature map shrinks to nothing"),
    "translate: {pixels: 1}": (
        "translate: {pixels: 28}",
        "improve.best.tricks.translate.pixels = 28: images of 28 x 28 pixels are moved by at most "
        "27",
    ),
    "threads: 1}\n": ("threads: 1, beside: cifr}\n", "beside = cifr: unknown; did you mean cifar?"),
}


@pytest.mark.parametrize("before", MISTAKES)
@pytest.mark.fault("params")
def test_a_mistake_is_told_in_one_line(before: str, tmp_path: Path) -> None:
    after, expected = MISTAKES[before]
    assert before in PARAMS
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.replace(before, after, 1))
    with pytest.raises(UserError) as error:
        load_params(path)
    assert expected in str(error.value) and "\n" not in str(error.value)


def write_unread_folder(root: Path, **counts: int) -> None:
    """Two classes with so many files each, none of which is opened by who only looks."""
    for split, count in counts.items():
        for name in ("owl", "wren"):
            (folder := root / split / name).mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").touch()


def test_other_data_need_not_fit_the_scales_that_are_not_chosen(workplace: Path) -> None:
    """The project's own: of 50,000 images, and of a folder that lies on another machine."""
    text = (ROOT / "params.yaml").read_text()
    write_unread_folder(Path("pets"), train=1300, test=1000)
    changes = {
        "dataset: cifar10": "dataset: folder:pets",
        "dataset: fashion_mnist": "dataset: folder:elsewhere",
    }
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    Path("params.yaml").write_text(text)
    params = load_params()
    assert variants(params, "full")["model1-baseline"].recipe.net.num_classes == 2
    with pytest.raises(UserError, match=r"scales\.fashion_mnist\.data\.dataset = folder:else"):
        variants(params, "fashion_mnist")
    for scale, told in (("full", "= 50000: pets has 2600"), ("fashion_mnist", "is not there")):
        Path("params.yaml").write_text(text.replace("scale: quick", f"scale: {scale}"))
        with pytest.raises(UserError, match=told):
            load_params()


def test_the_documented_scale_is_one(workplace: Path) -> None:
    """The YAML of docs/your-images.md, in the project's own params.yaml."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/your-images.md").read_text(), re.S)
    write_unread_folder(Path("photos/birds"), train=2500, test=500)
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    for block in blocks:
        given = yaml.load(block)
        params["scales"] |= given.pop("scales", {})
        params |= given if "data" not in given else {}
    with Path("params.yaml").open("w") as file:
        yaml.dump(params, file)
    found = load_params().scales["birds"]
    assert found.data is not None and found.data.known.title == "birds"


def test_images_of_another_scale_are_told(workplace: Path) -> None:
    for name in ("check", "download"):
        run_stage(name)
    told = "data/dataset holds scikit-learn's digits, and scale cifar is of cifar10"
    with pytest.raises(UserError, match=told):
        plan(load_params(), "model1-baseline", "cifar")
