"""The best net as a model: which one, the same answers everywhere, registered once."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.champion import FOLDER
from helpers.synthetic_study import make_study, predictions
from helpers.workplace import stage
from PIL import Image

from cifar_tricks.__main__ import run as command
from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.evaluation.classifier import load_classifier
from cifar_tricks.evidence.study_results import read_study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.report.champion import write_champion
from cifar_tricks.runs.folders import read_run
from cifar_tricks.tracking.registry import catch_up, champion_uri, register, registered_name
from cifar_tricks.tracking.store import find_store
from cifar_tricks.tracking.store_file import registered_version
from cifar_tricks.tracking.track import track


def test_it_is_the_seed_with_the_best_validation_of_the_best_variant(trained_copy: Path) -> None:
    about, run = load_classifier(FOLDER).about, read_run("quick", "improve-best")
    accuracies = {seed: result.validation_accuracy for seed, result in run.seeds.items()}
    assert about["key"] == "improve-best"
    assert accuracies[about["seed"]] == max(accuracies.values())
    own = read_arrays(f"runs/quick/improve-best/seed={about['seed']}/model.safetensors")
    assert about["weights_sha256"] == own.sha256 == read_arrays(FOLDER / "model.safetensors").sha256


def test_it_answers_as_the_study_scored_it(trained_copy: Path) -> None:
    classifier = load_classifier(FOLDER)
    test = read_arrays("data/dataset/test.safetensors")
    images = test["images"].transpose(0, 2, 3, 1)
    probabilities = classifier.probabilities(images)
    assert probabilities.shape == (len(images), 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    accuracy = (probabilities.argmax(1) == test["labels"]).mean()
    assert accuracy == pytest.approx(classifier.about["test_accuracy"])
    with pytest.raises(ValueError, match=r"valid: uint8 \(N, 32, 32, 3\)"):
        classifier.probabilities(images[:, :16])


def test_the_card_says_how_good_and_how_far(trained_copy: Path) -> None:
    card = (FOLDER / "card.md").read_text()
    study = read_study(load_params())
    mean = study.results["improve-best"].mean("test_accuracy")
    assert f"mean over n = 2 seeds | {mean:.4f} ±" in card
    assert re.search(r"`\. At most \d+ epochs, fp32\. ", card)
    assert "A demonstration, not a good model" in card and "Use and limits" in card


def test_a_second_choice_gives_the_same_bytes(trained_copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert stage("stages/champion.py").wait() == 0
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == before


@pytest.mark.fault("damage")
def test_damage_is_told(trained_copy: Path) -> None:
    weights = FOLDER / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(UserError, match="dvc checkout"):
        load_classifier(FOLDER)
    weights.unlink()
    with pytest.raises(UserError, match="dvc pull"):
        load_classifier(FOLDER)
    (FOLDER / "model.json").write_text("{")
    with pytest.raises(UserError, match="dvc repro --force --single-item champion"):
        load_classifier(FOLDER)
    (FOLDER / "model.json").unlink()
    with pytest.raises(UserError, match="make repro writes it"):
        load_classifier(FOLDER)


@pytest.mark.fault("hostile")
def test_a_description_cannot_call_what_it_likes(trained_copy: Path) -> None:
    about = json.loads((FOLDER / "model.json").read_text())
    for target in ("os.system", "torch.nn.init.zeros_", "torch.nn.functional.relu", "torch.load"):
        about["net"]["activation"] = {"target": target, "arguments": {"command": "touch canary"}}
        (FOLDER / "model.json").write_text(json.dumps(about))
        with pytest.raises(UserError, match=rf"net.activation = {target}: not a layer"):
            load_classifier(FOLDER)
    assert not Path("canary").exists()


def test_it_runs_at_the_precision_of_the_study(trained_copy: Path) -> None:
    images = np.random.default_rng(2).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    exact = load_classifier(FOLDER).probabilities(images)
    about = json.loads((FOLDER / "model.json").read_text())
    assert about["precision"] == "fp32"
    (FOLDER / "model.json").write_text(json.dumps({**about, "precision": "bf16"}))
    rounded = load_classifier(FOLDER).probabilities(images)
    assert 0 < np.abs(exact - rounded).max() < 0.05


def test_a_study_without_a_result_has_no_champion(tmp_path: Path) -> None:
    lost = {(key, 0) for key in ("model1-baseline", "model1-augment", "model1-leaky_relu")}
    with make_study(tmp_path, seeds=(0,), models=("model1",), improve="{}", diverged=lost) as study:
        write_champion(study, predictions(), Path("reports/small/champion"))
        assert "there is no model" in Path("reports/small/champion/card.md").read_text()
        with pytest.raises(UserError, match="no training of this scale came to a result"):
            load_classifier(Path("reports/small/champion"))
        assert register("small", Path("reports/small")) == ""


def test_predict_ranks_all_classes(trained_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(colours).save("a photo.png")
    assert command(["predict", "a photo.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [(line.split()[0], float(line.split()[1])) for line in lines[:10]]
    assert [value for _, value in shown] == sorted((v for _, v in shown), reverse=True)
    assert {name for name, _ in shown} == set(load_classifier(FOLDER).about["classes"])
    assert sum(value for _, value in shown) == pytest.approx(1, abs=0.01)
    assert "by improve-best" in lines[11] and "32 x 32 pixels" in lines[12]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "error: no photo given: make predict IMAGE=photo.jpg"),
        (["nope.jpg"], "error: nope.jpg does not exist"),
        (["params.yaml"], "error: params.yaml is no picture"),
        (["params.yaml", "--scale", "quikc"], "did you mean quick?"),
    ],
)
def test_predict_tells_mistakes(
    trained_copy: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["predict", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_it_is_registered_once_and_answers_the_same(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FOLDER.parent
    with pytest.raises(UserError, match="not logged"):
        register("quick", folder)
    metrics = json.loads((folder / "metrics.json").read_bytes())
    before = {path.name for path in Path().iterdir()} | {"mlflow.db", "mlflow.db.lock"}
    before.add("mlartifacts")
    track(load_params(), [*metrics["variants"]], metrics, folder=folder)
    assert [register("quick", folder), register("quick", folder)] == ["1", "1"]

    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(find_store().uri)
    client = mlflow.MlflowClient()
    name = registered_name("quick")
    version = client.get_model_version_by_alias(name, "champion")
    assert len(client.search_model_versions(f"name = '{name}'")) == 1
    assert "# Model card: improve-best" in version.description
    assert version.tags["weights_sha256"] == load_classifier(FOLDER).about["weights_sha256"]
    model = mlflow.pyfunc.load_model(champion_uri("quick"))
    images = np.random.default_rng(1).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        model.predict(images), load_classifier(FOLDER).probabilities(images)
    )
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 32, 32, 3)
    logged = Path(mlflow.artifacts.download_artifacts(champion_uri("quick")))
    assert not [*logged.rglob("*.pkl")]
    # Other weights are another version. An experiment leaves the alias where it is.
    about, run = json.loads((FOLDER / "model.json").read_text()), read_run("quick", "improve-best")
    (other,) = {result.weights_sha256 for result in run.seeds.values()} - {about["weights_sha256"]}
    (FOLDER / "model.json").write_text(json.dumps({**about, "weights_sha256": other}))
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-goat")
    assert register("quick", folder) == "2"
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    monkeypatch.delenv("DVC_EXP_NAME")
    assert register("quick", folder) == "2"
    assert str(client.get_model_version_by_alias(name, "champion").version) == "2"
    assert {path.name for path in Path().iterdir()} == before


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_store_goes_with_the_folder(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied, then moved: nothing is written to the old place, and all is found in the new one."""
    done = catch_up(load_params())
    assert (done.new, done.total) == (2, 2)
    copied, moved = trained_copy.with_name("a copy, 100%"), trained_copy.with_name("moved? #2")
    before, _ = snapshot(trained_copy), shutil.copytree(trained_copy, copied, symlinks=True)
    images = np.random.default_rng(1).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    answers = load_classifier(FOLDER).probabilities(images)

    import mlflow

    for place in (copied, moved):
        if place == moved:
            trained_copy.rename(moved)
        monkeypatch.chdir(place)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which set_tracking_uri sets
        assert catch_up(load_params()).new == 0
        metrics = json.loads((FOLDER.parent / "metrics.json").read_bytes())
        with monkeypatch.context() as patch:
            patch.setenv("DVC_EXP_NAME", "puffy-goat")
            track(load_params(), ["improve-best"], metrics, folder=FOLDER.parent)
        if place == copied:
            assert snapshot(trained_copy) == before
        assert trained_copy.exists() == (place == copied)
        mlflow.set_tracking_uri(find_store().uri)
        model = mlflow.pyfunc.load_model(champion_uri("quick"))
        np.testing.assert_array_equal(model.predict(images), answers)
        client = mlflow.MlflowClient()
        runs = client.search_runs(
            [client.get_experiment_by_name("cifar-tricks/quick").experiment_id]
        )
        assert len(runs) == 9  # two variants and the experiment, with two seeds each
        for run in runs:
            assert run.info.artifact_uri.startswith((place / "mlartifacts").as_uri())
            assert client.list_artifacts(run.info.run_id)
    # Files that are gone are logged anew.
    shutil.rmtree("mlartifacts")
    assert catch_up(load_params()).new == 2
    assert mlflow.pyfunc.load_model(champion_uri("quick")).predict(images).shape == (3, 10)


def test_what_another_tool_set_for_mlflow_leads_nothing_astray(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MLFLOW_RUN_ID": "0123456789abcdef",
        "MLFLOW_EXPERIMENT_ID": "999",
        "MLFLOW_EXPERIMENT_NAME": "other",
        "MLFLOW_REGISTRY_URI": "sqlite:///registry.db",
        "MLFLOW_READ_REPLICA_BACKEND_STORE_URI": "sqlite:///replica.db",
        "MLFLOW_TRACKING_DIR": "tracking",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
        "MLFLOW_LOCK_MODEL_DEPENDENCIES": "true",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_WORKSPACE": "team",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "server",
    }.items():
        monkeypatch.setenv(name, value)
    before = {path.name for path in Path().iterdir()}
    assert catch_up(load_params()).new == 2
    added = {path.name for path in Path().iterdir()} - before
    assert added == {"mlflow.db", "mlflow.db.lock", "mlartifacts"}
    version = registered_version(
        find_store(), registered_name("quick"), "champion",
        load_classifier(FOLDER).about["weights_sha256"],
    )  # fmt: skip
    assert version == ("1", True)
