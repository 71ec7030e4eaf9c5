"""Records of finished seeds: written on one machine, taken over on another, refused when wrong."""

import json
import shutil
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.project import ROOT
from helpers.workplace import KEY, RECORD, edit
from hypothesis import given
from hypothesis import strategies as st

from cifar_tricks.__main__ import run as command
from cifar_tricks.base.errors import Interrupted, UserError
from cifar_tricks.base.signed_json import signed, to_json
from cifar_tricks.base.sources import source_hash
from cifar_tricks.commands import page, share
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.evaluation.score import Score, calibrate, from_answers, to_answers
from cifar_tricks.evaluation.scoring import score_variants
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import Variant, variants
from cifar_tricks.runs.ahead import code_hash
from cifar_tricks.runs.folders import HISTORY, read_history, read_run
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.records import read_record, unknown_name
from cifar_tricks.runs.seed import locked
from cifar_tricks.runs.train import train_missing, train_variant
from cifar_tricks.training.arithmetic import output_size
from cifar_tricks.training.call import MOVED, Call, as_json


def test_a_record_gives_the_same_results_as_the_training(recorded: Path) -> None:
    params = load_params()
    train_variant(params, KEY)
    taken, (from_record,) = read_run("quick", KEY), score_variants(params, [KEY])[1]
    assert sorted(path.name for path in Path("runs/quick", KEY, "seed=0").iterdir()) == [
        "answers.json",
        "history.csv",
    ]
    edit("records: use", "records: ignore")
    train_variant(load_params(), KEY)
    trained, (from_weights,) = read_run("quick", KEY), score_variants(load_params(), [KEY])[1]
    assert taken.seeds[0].origin.recorded and not trained.seeds[0].origin.recorded
    assert taken.seeds[0].origin.seconds
    assert replace(taken.seeds[0], origin=trained.seeds[0].origin) == trained.seeds[0]
    assert read_history(taken, 0) == read_history(trained, 0)
    assert (from_record.predictions == from_weights.predictions).all()
    assert (from_record.accuracy, from_record.loss) == (from_weights.accuracy, from_weights.loss)
    assert from_record.calibration.error == from_weights.calibration.error


@pytest.mark.fault("signal")
def test_a_record_that_was_taken_over_does_not_stop_an_interrupted_training(
    recorded: Path,
) -> None:
    """Its curves grow where those of the record were."""
    params = load_params()
    page.collect(params, KEY)  # leaves what it took over in resume/
    edit("records: use", "records: ignore")
    params, answers = load_params(), iter([False, False, True])
    with locked(plan(params, KEY), [0]) as seeds, pytest.raises(Interrupted):
        train_missing(seeds, params.gpu, lambda: next(answers), use_records=False)
    grown = (seeds[0].folder / HISTORY).read_text()
    train_variant(params, KEY)
    run = read_run("quick", KEY)
    assert not run.seeds[0].origin.recorded
    assert read_history(run, 0).startswith(grown) and len(grown.splitlines()) > 2
    assert not list(Path("runs/quick", KEY).rglob("answers.json"))


def test_only_the_seeds_without_a_record_are_trained(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("seeds: [0]", "seeds: [0, 1]")
    train_variant(load_params(), KEY)
    run = read_run("quick", KEY)
    assert [result.origin.recorded for result in run.seeds.values()] == [True, False]
    assert "seed=0.json: taken over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("dropout: {probability: 0.25}", "dropout: {probability: 0.5}", "0.25, here 0.5"),
        ("test_images: 60", "test_images: 50", "test_images = 60, here 50"),
        ("precision: fp32     #", "precision: bf16     #", "recipe.precision = fp32, here bf16"),
    ],
)
def test_a_record_of_another_training_is_left_alone(
    recorded: Path, before: str, after: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(before, after)
    train_variant(load_params(), KEY)
    assert told in capsys.readouterr().out
    assert not read_run("quick", KEY).seeds[0].origin.recorded


@pytest.mark.parametrize("field", ["data", "engine"])
def test_a_record_of_other_data_or_another_engine_is_left_alone(
    recorded: Path, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(RECORD.read_bytes())
    del content["sha256"]
    if field == "data":
        content["run"]["data"]["train"] = "0" * 64
    else:
        content["run"]["seeds"]["0"]["origin"]["engine"] = 99
    RECORD.write_bytes(to_json(signed(content)))
    train_variant(load_params(), KEY)
    assert f"is not taken over: {field}" in capsys.readouterr().out
    assert not read_run("quick", KEY).seeds[0].origin.recorded


def test_every_record_is_of_a_recipe_that_params_yaml_plans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    paths = [path for path in Path("records").rglob("*") if path.is_file()]
    assert len(paths) >= 149
    for path in paths:
        run = read_record(path).run
        backbone = run.model if run.group == "transfer" else None
        planned = planned_variants(run.scale, backbone)[run.key]
        assert run.recipe == json.loads(json.dumps(as_json(planned.recipe))), path
        assert unknown_name(run.recipe) == "", path


@cache
def planned_variants(scale: str, backbone: str | None) -> dict[str, Variant]:
    return variants(load_params(ROOT / "params.yaml"), scale, backbone=backbone, ablation=True)


def test_a_record_that_calls_what_is_not_here_is_left_alone(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(RECORD.read_bytes())
    del content["sha256"]
    gone = {"target": "cifar_tricks.features.frozen_feature", "arguments": {}}
    content["run"]["recipe"]["batch_transforms"] = [gone]
    RECORD.write_bytes(to_json(signed(content)))
    train_variant(load_params(), KEY)
    assert (
        f"{RECORD} is not taken over: recipe.batch_transforms.0.target = {gone['target']}: not in "
        "this version; did you mean cifar_tricks.features.frozen_features? valid: "
    ) in capsys.readouterr().out
    assert not read_run("quick", KEY).seeds[0].origin.recorded
    assert json.loads(RECORD.read_bytes())["run"]["recipe"]["batch_transforms"] == [gone]


def test_a_name_on_record_outlives_a_move_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call("cifar_tricks.features.frozen_features", {"cache_gb": 1.0})
    recipe = planned_variants("full", None)["transfer-resnet18"].recipe
    before = code_hash(recipe)
    monkeypatch.setitem(MOVED, call.target, "cifar_tricks.training.arithmetic.output_size")
    assert call.resolve() is output_size
    # Only what the hash covers has changed, not what is written of the recipe.
    assert asdict(call)["target"] == "cifar_tricks.features.frozen_features"
    assert code_hash(recipe) != before
    monkeypatch.setitem(MOVED, call.target, "cifar_tricks.gone.frozen_features")
    with pytest.raises(RuntimeError, match=r"no source of cifar_tricks\.gone in "):
        code_hash(recipe)


def test_the_hash_of_no_source_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no source of anything in "):
        source_hash(["torch.nn"])
    monkeypatch.setattr("cifar_tricks.base.sources.PACKAGE", tmp_path / "cifar_tricks")
    with pytest.raises(RuntimeError, match=r"no source of cifar_tricks\.runs\.train, .*nets in "):
        code_hash(planned_variants("quick", None)["model1-baseline"].recipe)


@pytest.mark.fault("damage", tried=44)
def test_a_damaged_record_is_refused_with_what_restores_it(recorded: Path) -> None:
    whole, params = RECORD.read_bytes(), load_params()
    numbers = np.random.default_rng(0)
    for number in range(40):
        place = int(numbers.integers(len(whole)))
        RECORD.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"git checkout -- records/quick/.*/seed=0.json"):
            # A training plans all of params.yaml before it asks for its record.
            read_record(RECORD) if number % 8 else train_variant(params, KEY)
        assert not Path("runs/quick", KEY).exists()
    for size in (0, 1, len(whole) // 2, len(whole) - 2):
        RECORD.write_bytes(whole[:size])
        with pytest.raises(UserError, match="git checkout"):
            read_record(RECORD)


def test_answers_that_contradict_the_test_images_are_refused(recorded: Path) -> None:
    content = json.loads(RECORD.read_bytes())
    del content["sha256"]
    answers = content["answers"]
    answers["predictions"] = answers["predictions"][::-1]
    RECORD.write_bytes(to_json(signed(content)))
    train_variant(load_params(), KEY)
    with pytest.raises(UserError, match="contradicts the test images"):
        score_variants(load_params(), [KEY])


def test_what_is_on_record_is_not_trained_again(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = RECORD.stat().st_mtime_ns
    monkeypatch.setattr("cifar_tricks.runs.train.train_missing", None)
    record_seeds(load_params(), KEY, [0])
    assert RECORD.stat().st_mtime_ns == written


def test_what_the_pipeline_trained_is_recorded_without_training(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = load_params()
    train_variant(params, KEY)
    (score,) = score_variants(params, [KEY])[1]
    monkeypatch.setattr("cifar_tricks.runs.train.train_seeds", None)
    record_seeds(params, KEY, [0])
    record = read_record(RECORD)
    assert record.answers == to_answers(score)
    assert record.run.seeds[0].weights_sha256 == read_run("quick", KEY).seeds[0].weights_sha256


def test_the_weights_stay_for_a_later_training_stage(workplace: Path) -> None:
    params = load_params()
    record_seeds(params, KEY, [0])
    train_variant(params, KEY)
    assert Path("runs/quick", KEY, "seed=0/model.safetensors").exists()
    assert not read_run("quick", KEY).seeds[0].origin.recorded


def test_collecting_joins_what_there_is_and_trains_nothing(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("seeds: [0]", "seeds: [0, 1, 2]")
    params = load_params()
    record_seeds(params, KEY, [2])
    with monkeypatch.context() as patch:
        patch.setattr("cifar_tricks.runs.train.train_seeds", None)
        assert page.collect(params, KEY) == 2
        assert list(read_run("quick", KEY).seeds) == [0, 2]
        before = Path("runs/quick", KEY, "run.json").stat().st_mtime_ns
        assert page.collect(params, KEY) == 2
        assert Path("runs/quick", KEY, "run.json").stat().st_mtime_ns == before
    origins = [result.origin for result in read_run("quick", KEY).seeds.values()]
    assert [origin.recorded for origin in origins] == [True, False]
    # The page was made from the record; then the weights turn up.
    (folder,) = Path("resume").glob(f"{KEY}-seed=0-*")
    shutil.rmtree(folder)
    RECORD.rename("kept.json")
    record_seeds(params, KEY, [0])
    assert page.collect(params, KEY) == 2
    origins = [result.origin for result in read_run("quick", KEY).seeds.values()]
    assert [origin.recorded for origin in origins] == [False, False]
    assert page.collect(params, "model1-adam") == 0
    assert not Path("runs/quick/model1-adam").exists()
    assert not list(Path("resume").glob("model1-adam*"))


def test_seeds_by_number_and_range(workplace: Path) -> None:
    edit("seeds: [0]", "seeds: [0, 1, 2, 5]")
    params = load_params()
    assert share.chosen_seeds("all", params) == [0, 1, 2, 5]
    assert share.chosen_seeds("1-2,5", params) == [1, 2, 5]
    assert share.chosen_seeds("2 0", params) == [2, 0]
    for wrong in ("", "x", "3", "0-3", "2-1", "1,,2", "-1", "9" * 40):
        with pytest.raises(UserError, match="SEEDS = "):
            share.chosen_seeds(wrong, params)
    assert share.chosen_keys(params, [])[:2] == ["reference-baseline", "model1-baseline"]
    whole = share.chosen_keys(params, ["ablation model2-adam"])
    assert whole[:3] == ["improve-record", "model1-baseline", "model2-baseline"]
    assert whole[-1] == "model2-adam" and len(whole) == len(set(whole))
    assert {"ablation-without_gelu", "ablation-silu", "model2-gelu"} <= {*whole}
    with pytest.raises(UserError, match="ablation: no variant has this key"):
        share.chosen_keys(params.model_copy(update={"ablation": None}), ["ablation"])
    assert list(share.planned(["a", "b"], [0, 1], gpu=False)) == [
        ("a", [0]),
        ("b", [0]),
        ("a", [1]),
        ("b", [1]),
    ]
    assert list(share.planned(["a", "b"], [0, 1], gpu=True)) == [("a", [0, 1]), ("b", [0, 1])]


def test_sharing_trains_records_and_reports(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit("seeds: [0]", "seeds: [0, 1]")
    Path("data/augment.done").write_text("done\n")
    monkeypatch.setenv("PYTHONPATH", "src")
    (workplace / ".dvc/tmp").mkdir(parents=True)
    keys = ["reference-baseline", "model2-baseline"]
    assert command(["share", "--seeds", "0", "--jobs", "2", *keys]) == 0
    assert "2 of 2 are on record" in capsys.readouterr().out
    assert command(["share", "--seeds", "0-1", "model2-baseline"]) == 0
    assert command(["share", "--seeds", "0", "model3-baseline"]) == 2
    assert "did you mean model2-baseline?" in capsys.readouterr().err
    found = sorted(
        str(path.relative_to("records/quick")) for path in Path("records").rglob("*.json")
    )
    assert found == [
        "model2-baseline/seed=0.json",
        "model2-baseline/seed=1.json",
        "reference-baseline/seed=0.json",
    ]


@given(
    predictions=st.lists(st.integers(0, 9), min_size=1, max_size=50),
    seed=st.integers(0, 2**32 - 1),
)
def test_answers_survive_the_file(predictions: list[int], seed: int) -> None:
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, 10, len(predictions))
    probabilities = np.eye(10)[predictions] * 0.5 + 0.05
    score = Score(
        key="a-b",
        seed=1,
        accuracy=float((np.array(predictions) == labels).mean()),
        loss=None,
        calibration=calibrate(probabilities, labels),
        predictions=np.array(predictions, np.uint8),
        num_classes=10,
    )
    content = json.loads(to_json(to_answers(score)))
    again = from_answers(content, key="a-b", seed=1, labels=labels, num_classes=10)
    assert again.accuracy == pytest.approx(score.accuracy)
    assert (again.predictions == score.predictions).all()
    assert again.calibration.error == pytest.approx(score.calibration.error)
    with pytest.raises(ValueError, match="not the answers"):
        from_answers(content, key="a-b", seed=1, labels=np.append(labels, 0), num_classes=10)
