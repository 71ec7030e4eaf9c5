"""Scores on the test images: right, in order, from the run that params.yaml describes."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.workplace import edit, stage

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.evaluation.score import from_answers, to_answers
from cifar_tricks.evaluation.score_files import metrics, write_predictions
from cifar_tricks.evaluation.scoring import score_variants, trained_keys
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import read_run, record_file
from cifar_tricks.runs.records import read_record
from cifar_tricks.runs.train import train_variant
from cifar_tricks.training.nets import load_weights

KEY = "model2-batch_norm"


def by_hand(seed: int) -> tuple[float, float, np.ndarray]:
    """Accuracy, loss and classes, computed without the engine's batches."""
    run = read_run("quick", KEY)
    weights = read_arrays(f"runs/quick/{KEY}/seed={seed}/model.safetensors")
    tensors = {name: torch.from_numpy(array) for name, array in weights.arrays.items()}
    spec = variants(load_params())[KEY].recipe.net
    net = load_weights(spec, tensors, torch.device("cpu"))
    test = read_arrays("data/dataset/test.safetensors")
    mean = torch.tensor(run.seeds[seed].mean).view(1, 3, 1, 1)
    std = torch.tensor(run.seeds[seed].std).view(1, 3, 1, 1)
    with torch.no_grad():
        logits = net((torch.from_numpy(test["images"]).float() - mean) / std).double()
    labels = torch.from_numpy(test["labels"])
    chosen = torch.log_softmax(logits, 1)[torch.arange(len(labels)), labels]
    classes = logits.argmax(1)
    return (classes == labels).double().mean().item(), -chosen.mean().item(), classes.numpy()


def test_scores_and_predictions(workplace: Path) -> None:
    edit("seeds: [0]", "seeds: [0, 5]")
    params = load_params()
    train_variant(params, KEY)
    runs, scores = score_variants(params, [KEY])
    assert [score.seed for score in scores] == [0, 5]
    for score in scores:
        accuracy, loss, classes = by_hand(score.seed)
        assert score.accuracy == accuracy
        assert score.loss == pytest.approx(loss, rel=1e-4)
        np.testing.assert_array_equal(score.predictions, classes)
    figures = json.loads(json.dumps(metrics(params, runs, scores)))["variants"][KEY]
    assert figures["seeds"] == [0, 5]
    assert figures["test_accuracy"]["mean"] == pytest.approx(
        sum(figures["test_accuracy"]["values"]) / 2
    )
    assert figures["reference"] == {"test_accuracy": 0.6977}
    labels = read_arrays("data/dataset/test.safetensors")["labels"]
    for name in ("a.csv.gz", "b.csv.gz"):
        write_predictions(Path(name), labels, scores)
    assert Path("a.csv.gz").read_bytes() == Path("b.csv.gz").read_bytes()
    lines = gzip.decompress(Path("a.csv.gz").read_bytes()).decode().splitlines()
    assert lines[0] == f"image,label,{KEY}/seed=0,{KEY}/seed=5"
    assert lines[8] == f"7,{labels[7]},{scores[0].predictions[7]},{scores[1].predictions[7]}"


@pytest.mark.fault("damage")
def test_runs_of_other_parameters_and_damaged_weights_are_refused(
    workplace: Path,
) -> None:
    params = load_params()
    with pytest.raises(UserError, match="is missing"):
        score_variants(params, [KEY])
    train_variant(params, KEY)
    edit("learning_rate: 0.05", "learning_rate: 0.06")
    with pytest.raises(UserError, match="trained from other parameters"):
        score_variants(load_params(), [KEY])
    path = Path(f"runs/quick/{KEY}/seed=0/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="dvc checkout"):
        score_variants(params, [KEY])


@pytest.mark.fault("diverge")
def test_a_diverged_run_has_no_mean(workplace: Path) -> None:
    edit("learning_rate: 0.05", "learning_rate: 1000000.0")
    params = load_params()
    train_variant(params, "model1-baseline")
    runs, scores = score_variants(params, ["model1-baseline"])
    figures = metrics(params, runs, scores)["variants"]["model1-baseline"]
    assert figures["status"] == ["diverged"]
    assert figures["test_accuracy"]["mean"] is None
    process = stage("stages/evaluate.py", "--partial")
    output, _ = process.communicate()
    assert process.returncode == 0 and "not trained, so not scored: reference-baseline," in output
    shutil.rmtree("runs")
    process = stage("stages/evaluate.py", "--partial")
    assert "holds no trained net" in process.communicate()[0] and process.returncode == 2


def test_answers_in_several_views_stand_beside_the_plain_ones(workplace: Path) -> None:
    """Of the recipe of today's tricks, trained and scored here, then taken over from its record."""
    key, params = "improve-record", load_params()
    train_variant(params, key)
    (trained,) = score_variants(params, [key])[1]
    run = read_run("quick", key)
    weights = read_arrays(f"runs/quick/{key}/seed=0/model.safetensors")
    tensors = {name: torch.from_numpy(array) for name, array in weights.arrays.items()}
    net = load_weights(variants(params)[key].recipe.net, tensors, torch.device("cpu"))
    test = read_arrays("data/dataset/test.safetensors")
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (run.seeds[0].mean, run.seeds[0].std))
    images = (torch.from_numpy(test["images"]).float() - mean) / std
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    moved = (padded[:, :, :32, :32], padded[:, :, 2:, 2:])
    with torch.no_grad():
        plain = (net(images) + net(images.flip(3))) / 4
        logits = plain + sum(net(view) + net(view.flip(3)) for view in moved) / 8
    assert trained.augmented is not None
    assert (trained.augmented == logits.argmax(1).numpy()).mean() > 0.98  # but for rounding
    assert trained.augmented_accuracy == (trained.augmented == test["labels"]).mean()
    figures = metrics(params, {key: run}, [trained])["variants"][key]
    assert figures["test_accuracy"]["values"] == [trained.accuracy]
    assert figures["augmented_test_accuracy"]["values"] == [trained.augmented_accuracy]
    again = from_answers(
        to_answers(trained), key=key, seed=0, labels=test["labels"], num_classes=10
    )
    np.testing.assert_array_equal(again.augmented, trained.augmented)
    assert again.augmented_accuracy == trained.augmented_accuracy
    with pytest.raises(ValueError, match="not the answers to 60 test images"):
        answers = {**to_answers(trained), "augmented": "01"}
        from_answers(answers, key=key, seed=0, labels=test["labels"], num_classes=10)


def test_what_no_stage_trains_is_put_on_record(workplace: Path) -> None:
    for key in ("ablation-without_whitening", "model1-gelu", "ablation-all_images"):
        record_seeds(load_params(), key, [0])
        record = read_record(record_file("quick", key, 0))
        assert record.run.group == "ablation"
        assert key not in trained_keys(load_params())
    assert record.run.recipe["train_images"] == 128 + 64
    assert record.result.validation_accuracy is None and record.result.validation_loss is None
    assert b"validation" not in record.history and record.result.status == "finished"
