"""The graph on a real DVC repository: what runs again after which change, and experiments."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from helpers.champion import run_stage
from helpers.dvc_repository import (
    LOOKS,
    TRAININGS,
    Repository,
    experiments,
    logged_variants,
    queue_workers,
    stages_run,
    wait_for,
    write_backbone,
)
from helpers.workplace import outputs
from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.repro import AFTERWARDS, sort_lock
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants


def test_a_second_run_looks_at_the_store_and_does_nothing_else(repository: Repository) -> None:
    repository.repro()  # what stands for the place where it was made is renewed
    assert repository.run("git", "status", "--short") == ""
    stages = set(YAML(typ="safe").load(repository.lock)["stages"])
    sort_lock(repository.folder / "dvc.lock", stages)
    before, store = repository.lock, (repository.folder / "mlflow.db").read_bytes()
    assert list(YAML(typ="safe").load(before)["stages"]) == sorted(stages)
    output = repository.run("dvc", "repro")
    assert stages_run(output) == LOOKS
    assert f"0 of {len(TRAININGS)} variants are new in MLflow" in output
    assert (repository.lock, (repository.folder / "mlflow.db").read_bytes()) == (before, store)
    assert repository.run("git", "status", "--short", "--", ":!dvc.lock") == ""


def test_a_clone_that_has_all_results_from_a_cache_fills_its_store(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that DVC knows is as dvc.lock says, and yet nothing is logged there."""
    clone = repository.clone(tmp_path / "a clone")
    clone.run("dvc", "cache", "dir", "--local", str(repository.folder / ".dvc/cache"))
    clone.run("dvc", "checkout", "--quiet")
    output = clone.run("dvc", "repro")
    assert stages_run(output) == LOOKS
    keys = sorted(variants(load_params(clone.params)))
    assert logged_variants(clone.folder / "mlflow.db") == sorted(["champion 1", *keys])
    assert clone.lock == repository.lock
    # Another store; in this process, whose start takes longer than the work.
    monkeypatch.chdir(clone.folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///another.db?timeout=30")
    run_stage("track")
    for store in ("another.db", "mlflow.db"):
        assert logged_variants(clone.folder / store) == sorted(["champion 1", *keys])


def test_the_order_in_which_trainings_finish_leaves_no_trace(
    template: Repository, tmp_path: Path
) -> None:
    yaml = YAML()
    recorded = yaml.load(template.lock)
    stages = set(recorded["stages"])
    files = []
    for names in (list(recorded["stages"]), sorted(stages, reverse=True)):
        recorded["stages"] = {name: recorded["stages"][name] for name in names}
        recorded["stages"]["train@gone"] = {"cmd": "python"}  # a net since removed
        files.append(tmp_path / f"{len(files)}.lock")
        yaml.dump(recorded, files[-1])
        del recorded["stages"]["train@gone"]
        sort_lock(files[-1], stages)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert yaml.load(files[0]) == recorded

    before = files[0].read_bytes()
    sort_lock(files[0], stages)
    assert files[0].read_bytes() == before
    sort_lock(tmp_path / "none.lock", stages)  # before the first stage there is no file


def test_a_clone_with_a_part_of_the_nets_takes_nothing_from_the_results(
    repository: Repository, tmp_path: Path
) -> None:
    """DVC's documented way for CI, after one setting changed."""
    repository.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    repository.run("dvc", "push", "--quiet")
    repository.run("git", "commit", "--quiet", "--all", "--message", "remote")
    clone = repository.clone(tmp_path / "clone")
    repository.run("git", "reset", "--quiet", "--soft", "HEAD~")
    clone.edit("train: {batch_size: 8}", "train: {batch_size: 4}")
    metrics = clone.folder / "reports/quick/metrics.json"
    before = json.loads(metrics.read_bytes())["variants"]
    command = ("dvc", "repro", "--pull", "--allow-missing", "evaluate")
    output = clone.run(*command, code=255)
    assert stages_run(output) & TRAININGS == {"sensitivity@batch_8"}
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: 10 of 11 nets are not here; get them with: dvc pull runs/quick/")
    clone.run(*line.split("get them with: ")[1].split(";")[0].split())
    assert stages_run(clone.run(*command)) == {"check", "evaluate"}
    after = json.loads(metrics.read_bytes())["variants"]
    changed = {key for key in before if before[key] != after[key]}
    assert after.keys() == before.keys() and changed == {"sensitivity-batch_8"}


def test_a_net_that_is_gone_stops_what_shows_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = outputs(Path("reports"))
    shutil.rmtree("runs/quick/combine-both")
    for stage in ("evaluate", "visualize", "champion", "report", "track"):
        with pytest.raises(UserError, match="dvc pull runs/quick/combine-both"):
            run_stage(stage)
    assert outputs(Path("reports")) == before
    run_stage("evaluate", "--partial")
    repository.run("dvc", "pull", "runs/quick/combine-both")
    shutil.rmtree("data/pretrained")
    output = repository.run("python", "stages/evaluate.py", code=2)
    assert output.startswith("error: data/pretrained is not here; get it with: dvc pull")
    repository.run("dvc", "pull", "data/pretrained")
    run_stage("evaluate")
    assert outputs(Path("reports")) == before


@pytest.mark.slow
def test_experiments_in_copies_of_the_project(repository: Repository, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "--depth", "1")
    shutil.copyfile(repository.folder / "data/images/photo.jpg", clone.folder / "mine.jpg")
    command = ("dvc", "exp", "run", "--temp", "-S", "visualize.image=mine.jpg", "check")
    output = clone.run(*command, code=255)
    assert "error: this clone is shallow" in output and "git fetch --unshallow" in output
    clone.run("git", "fetch", "--quiet", "--unshallow")
    output = clone.run(*command, code=255)
    assert "error: mine.jpg is not in the copy of the project" in output
    assert "git add mine.jpg" in output
    clone.run(*(f"{part[:-8]}{clone.folder}/mine.jpg" if "=" in part else part for part in command))
    clone.run("git", "add", "mine.jpg")
    clone.run(*command)
    assert len(clone.run("dvc", "exp", "list", "--name-only").split()) == 2
    clone.edit("data/images/photo.jpg", "none.jpg")
    assert "none.jpg does not exist; give" in clone.run("dvc", "repro", "check", code=255)


def test_links_to_another_disk(repository: Repository, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone")
    (tmp_path / "disk").mkdir()
    for name in ("data", "runs"):
        (clone.folder / name).symlink_to(tmp_path / "disk")
        assert clone.run("git", "status", "--short") == ""
        output = clone.run("dvc", "repro", "check", code=255)
        assert f"error: {name} is a link" in output
        (clone.folder / name).unlink()
    command = output.split("another disk all the same: ")[1].splitlines()[0]
    clone.run("sh", "-c", command.replace("/disk/cache", str(tmp_path / "disk")))
    for name in ("stages", "src"):
        assert (clone.folder / name).exists()
    assert clone.repro("check") == {"check"}
    marker = (clone.folder / "data/params.valid").resolve()
    assert marker.is_relative_to(tmp_path / "disk")


def test_without_weights_all_else_runs_and_the_report_says_so(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backbone(repository.folder, used=None)
    repository.run("dvc", "commit", "--quiet", "--force", "download")
    output = repository.run("dvc", "repro", "--single-item", "transfer", code=255)
    line = next(line for line in output.splitlines() if line.startswith("error: "))
    assert "transfer.backbones = resnet18, efficientnet_lite0: no source delivered" in line
    assert "Traceback" not in output
    monkeypatch.chdir(repository.folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for stage in AFTERWARDS[:-2]:  # each in this process: their starts take longer
        run_stage(stage)
    assert AFTERWARDS[-2:] == ("track", "experiment")
    repository.run("dvc", "repro", "--single-item", *AFTERWARDS[-2:])
    report = (repository.folder / "reports/quick/report.md").read_text()
    assert "**Missing: no source delivered the weights of ResNet-18**" in report
    assert not (repository.folder / "runs/quick/transfer").exists()
    # Weights that arrive later bring back what was missing: DVC still has that very training.
    write_backbone(repository.folder)
    repository.run("dvc", "commit", "--quiet", "--force", "download")
    assert repository.repro(*TRAININGS) & TRAININGS == set()
    assert (repository.folder / "runs/quick/transfer/run.json").exists()
    for stage in ("evaluate", "report"):
        run_stage(stage)
    assert "**Missing" not in (repository.folder / "reports/quick/report.md").read_text()


def test_a_wrong_parameter_stops_everything_at_once(repository: Repository) -> None:
    repository.edit("trick: baseline", "trick: laeky_relu")
    output = repository.run("dvc", "repro", code=255)
    assert stages_run(output) == {"check"}
    assert "error: params.yaml: trick = laeky_relu: unknown; did you mean leaky_relu?" in output
    assert "Traceback" not in output
    repository.edit("trick: laeky_relu", "trick: baseline")
    change = ("-S", "tricks.leaky_relu.negative_slope=9")
    output = repository.run("dvc", "exp", "run", *change, code=255)
    assert stages_run(output) == {"check"}
    assert "tricks.leaky_relu.negative_slope = 9" in output


@pytest.mark.slow
def test_queued_experiments(repository: Repository) -> None:
    names = ("dvc", "exp", "run", "--queue", "-n", "grid", "-S")
    output = repository.run(*names, "trick=baseline,leaky_relu", "-S", "model=model1,model2")
    assert output.count("Queued experiment") == 4
    # Two of them, each of another trick and net, run at once.
    repository.run("dvc", "queue", "remove", "grid-2", "grid-3")

    def ended() -> set[str]:
        return {name.rsplit("/")[-1] for name in experiments(repository)}

    with queue_workers(repository):
        # Git tells for nothing what DVC tells for a second of a core.
        with contextlib.suppress(AssertionError):
            wait_for(lambda: {"grid-1", "grid-4"} <= ended(), seconds=120)
        for _ in range(20):
            status = repository.run("dvc", "queue", "status")
            if not any(word in status for word in ("Queued", "Running")):
                break
    tasks = [line.split()[0] for line in status.splitlines()[1:] if "Failed" in line]
    logs = [repository.run("dvc", "queue", "logs", task)[-1500:] for task in tasks]
    assert status.count("Success") == 2, "\n".join([status, *logs])
    # What they logged lies in the main checkout, not in their temporary copies.
    assert (repository.folder / "mlflow.db").exists()


def test_a_record_takes_the_place_of_a_training(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one machine put on record, another takes over, to the same figures."""
    folder, key = repository.folder, "model2-leaky_relu"
    metrics, predictions = (
        folder / "reports/quick" / name for name in ("metrics.json", "predictions.csv.gz")
    )
    before = metrics.read_bytes(), predictions.read_bytes()
    script = (
        "import sys; sys.path.insert(0, 'src'); from cifar_tricks.commands import record;"
        f"sys.exit(record.main(['{key}', '0']))"
    )
    repository.run(sys.executable, "-c", script)
    shutil.rmtree(folder / "resume")
    command = ("dvc", "repro", "--force", "--single-item", f"train@{key}")
    output = repository.run(*command)
    assert stages_run(output) == {f"train@{key}"}
    assert f"records/quick/{key}/seed=0.json: taken over" in output and " step " not in output
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for stage in ("evaluate", "report"):  # in this process: their starts take longer
        run_stage(stage)
    assert (metrics.read_bytes(), predictions.read_bytes()) == before
    assert "records" in (folder / "reports/quick/report.md").read_text()
    repository.edit("records: use", "records: ignore")
    assert repository.repro("--single-item", f"train@{key}") == {f"train@{key}"}
    run_stage("evaluate")
    assert (folder / f"runs/quick/{key}/seed=0/model.safetensors").exists()
    assert (metrics.read_bytes(), predictions.read_bytes()) == before
