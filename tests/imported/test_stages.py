"""A net of one's own and one of timm through the stages, on record, and on a node."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.champion import run_stage
from helpers.imported_nets import forget_modules
from PIL import Image

from cifar_tricks.__main__ import run as command
from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.commands.share import chosen_keys
from cifar_tricks.engines import node
from cifar_tricks.engines.arrivals import objection
from cifar_tricks.engines.jobs import Job
from cifar_tricks.engines.study import Study
from cifar_tricks.evaluation.classifier import load_classifier
from cifar_tricks.evidence.study_results import read_study
from cifar_tricks.figures.grad_cam import grad_cam, split_net
from cifar_tricks.figures.layers import convolutions
from cifar_tricks.parameters.dependencies import recipes
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.records import on_record
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.nets import build_net
from cifar_tricks.training.streams import Stream
from cifar_tricks.training.trainer import Trainer

TRAINED = ("mine-baseline", "mine-leaky_relu", "resnet-baseline", "improve-own")
LEFT_OUT = "resnet-batch_norm"
CHAMPION = Path("reports/quick/champion")
LACKS = "left out: the net has no norm layer of another kind to replace"


def edit_net() -> None:
    path = Path("my_nets.py")
    path.write_text(path.read_text().replace("MaxPool2d(4)", "AvgPool2d(4)"))
    forget_modules(Path.cwd())


def test_from_check_to_predict(own_nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stage("check")
    assert capsys.readouterr().out == f"{LEFT_OUT} is {LACKS}\n"
    for key in (*TRAINED, LEFT_OUT):
        run_stage("train", key)
    assert f"{LEFT_OUT} is {LACKS}\n" in capsys.readouterr().out
    files = [path.name for path in Path("runs/quick", LEFT_OUT).iterdir()]
    assert files == ["left_out.txt"]
    run_stage("evaluate", "--partial")
    for name in ("visualize", "champion"):
        run_stage(name)
    results = read_study(load_params()).results
    assert results[LEFT_OUT].flaw == LACKS
    assert results["resnet-augment"].flaw == "missing"
    assert not any(results[key].flaw for key in TRAINED)
    facts = json.loads(Path("reports/quick/activations.json").read_bytes())
    assert list(facts["own_nets"]) == [facts["explained"]] == ["improve-own"]
    assert Path("reports/quick/figures/activations-improve-own.png").stat().st_size > 10_000

    # The best net answers as it was scored, as long as params.yaml names this very code.
    with pytest.raises(UserError, match=r"net.target = 'my_nets.TinyNet': not what params.yaml"):
        load_classifier(CHAMPION)
    test = read_arrays("data/dataset/test.safetensors")
    classifier = load_classifier(CHAMPION, load_params())
    answers = classifier.probabilities(test["images"].transpose(0, 2, 3, 1)).argmax(1)
    accuracy = (answers == test["labels"]).mean()
    assert accuracy == pytest.approx(classifier.about["test_accuracy"])
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("photo.png")
    assert command(["predict", "photo.png"]) == 0
    assert "by improve-own, seed 0" in capsys.readouterr().out
    assert "The net `my_nets.TinyNet` with" in (CHAMPION / "card.md").read_text()
    edit_net()
    assert command(["predict", "photo.png"]) == 2
    with pytest.raises(UserError, match=r"mine-baseline was trained from other param"):
        run_stage("evaluate", "--partial")


def test_a_pair_that_is_left_out_cannot_be_asked_for(own_nets: Path) -> None:
    params = load_params()
    assert LEFT_OUT not in chosen_keys(params, [])
    for ask in (chosen_keys, plan):
        with pytest.raises(UserError, match=f"{LEFT_OUT} is {LACKS}"):
            ask(params, [LEFT_OUT] if ask is chosen_keys else LEFT_OUT)  # type: ignore[operator]
    Path("params.yaml").write_text(
        Path("params.yaml").read_text().replace("mine\ntrick: base", "resnet\ntrick: batch_norm #")
    )
    with pytest.raises(UserError, match=f"{LEFT_OUT} is {LACKS}"):
        run_stage("experiment")


def test_a_record_of_other_code_is_not_taken_over(
    own_nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params()
    record_seeds(params, "mine-baseline", [0])
    assert on_record(plan(params, "mine-baseline"), 0)
    before = recipes(params)
    edit_net()
    params = load_params()
    assert not on_record(plan(params, "mine-baseline"), 0)
    run_stage("train", "mine-baseline")
    assert "is not taken over: recipe.net.source = sha256:" in capsys.readouterr().out
    # What DVC sees of it: the nets of this file, and no other.
    after = recipes(params)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {key for key in after if key.startswith(("mine-", "improve-own"))}


def test_a_node_has_the_code(
    own_nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file imports from the root goes with it."""
    Path("parts.py").write_text("from torch.nn import GroupNorm\n")
    text = Path("my_nets.py").read_text().replace("nn.GroupNorm", "parts.GroupNorm")
    Path("my_nets.py").write_text(text.replace("from torch", "import parts\nfrom torch", 1))
    monkeypatch.setenv("CIFAR_TRICKS_NODE", str(tmp_path / "node"))
    job, study = (
        Job("mine-baseline", [0]),
        Study(load_params(), "cifar_tricks.commands.record", "cpu"),
    )
    data = study.data([job])
    content, bundle = study.bundle(data)
    order = node.Order(
        bundle=bundle, data=data, command=study.command(job), scale="quick",
        key=job.key, seeds=job.seeds, gpu=False, weights=False,
    )  # fmt: skip
    code, last, records, _, _ = node.work(
        order, lambda name: Path(name).read_bytes() if name else content
    )
    assert code == 0, last
    assert objection(study, job.key, 0, records[0]) == ""


class Replaying(Stream):
    replays = True


def test_steps_are_not_replayed(own_nets: Path) -> None:
    training = plan(load_params(), "mine-baseline")
    recipe, device = training.variant.recipe, training.device
    data = make_training_data(training.arrays, None, recipe, seed=0, device=device)
    trainer = Trainer(recipe, data, seed=0, device=device, stream=Replaying())
    assert trainer.steps_before_recording == math.inf


def test_grad_cam_of_any_net_is_that_of_its_halves(own_nets: Path) -> None:
    spec = plan(load_params(), "mine-baseline").variant.recipe.net
    net = build_net(spec, seed=0, device=torch.device("cpu")).eval()
    assert convolutions(net, 32) == ["features.0", "features.4"]
    images, classes = torch.randn(4, 3, 32, 32), torch.arange(4)

    def behind(maps: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = net.head(net.features[5:](maps).flatten(1))  # type: ignore[operator,index]
        return logits

    by_hand = grad_cam(net.features[:5], behind, images, classes)  # type: ignore[index]
    assert torch.equal(grad_cam(*split_net(net, 32), images, classes), by_hand)
    assert by_hand.max() == 1
