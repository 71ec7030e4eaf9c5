"""What runs again after which change, on a real DVC repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dvc_repository import (
    LEAKY,
    LOOKS,
    READ_TEST_IMAGES,
    TRAININGS,
    Repository,
    stages_run,
)
from helpers.project import ROOT
from helpers.workplace import outputs

from cifar_tricks.base.files import hash_file
from cifar_tricks.commands.scheduling import seconds, split_work
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import planned_variants, variants
from cifar_tricks.tricks import trick_names


def test_a_comment_retrains_nothing(repository: Repository) -> None:
    repository.edit("# a comment", "# another comment")
    assert repository.repro() == {"check", *LOOKS}


@pytest.mark.parametrize(
    "change",
    ["trick=leaky_relu", "tricks.adam.weight_decay=0.1", "models.model2.stride=3"],
)
def test_an_experiment_changes_one_line_of_the_parameters(change: str, tmp_path: Path) -> None:
    """DVC's writer leaves the rest of params.yaml as it is: lists, blank lines, comments."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    stage = "stages: {one: {cmd: 'true', params: [{params.yaml: }]}}\n"
    (tmp_path / "dvc.yaml").write_text(stage)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    name = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (
        ["git", "init", "--quiet"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        ["git", "add", "--all"],
        ["git", *name, "commit", "--quiet", "--message", "state"],
        [sys.executable, "-m", "dvc", "exp", "run", "-S", change],
    ):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    command = ["git", "diff", "--numstat", "params.yaml"]
    shown = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert shown.stdout == "1\t1\tparams.yaml\n"


def test_seeds_that_a_change_does_not_touch_are_not_trained_again(repository: Repository) -> None:
    key = "model2-leaky_relu"
    folder, command = repository.folder / "runs/quick" / key, ("dvc", "repro", "--single-item")

    def trained(*options: str) -> set[str]:
        """The seeds that a run of the stage trained."""
        output = repository.run(*command, *options, f"train@{key}")
        assert stages_run(output) == {f"train@{key}"}
        return set(re.findall(rf"^{key} seed (\d+): step", output, re.MULTILINE))

    before = outputs(folder)
    repository.edit("seeds: [0]", "seeds: [0, 1]")
    assert trained() == {"1"}
    together = outputs(folder)
    for name in ("model.safetensors", "history.csv"):
        assert together[f"seed=0/{name}"] == before[f"seed=0/{name}"]
    assert trained("--force") == {"0", "1"}
    assert outputs(folder) == together
    # Another order, and a parameter that the stage depends on but the training does not.
    repository.edit("seeds: [0, 1]", "seeds: [2, 1, 0]")
    repository.edit("test_images: 60", "test_images: 50")
    assert trained() == {"2"}
    assert list(json.loads((folder / "run.json").read_bytes())["seeds"]) == ["2", "1", "0"]
    repository.edit("seeds: [2, 1, 0]", "seeds: [0]")
    repository.edit("    resnet18:", "    # a comment\n    resnet18:")
    assert trained() == set()
    assert outputs(folder) == before
    repository.edit("num_epochs: 2", "num_epochs: 3")
    assert trained() == {"0"}


@pytest.mark.slow
def test_a_seed_that_is_damaged_in_the_cache_is_trained_again(repository: Repository) -> None:
    key = "model2-leaky_relu"
    weights = repository.folder / f"runs/quick/{key}/seed=0/model.safetensors"
    content = weights.read_bytes()
    md5 = hash_file(weights, "md5")
    damaged = repository.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(content[:-1] + b"x")
    damaged.chmod(0o444)  # as DVC has its objects: one that can be written is checked
    repository.edit("seeds: [0]", "seeds: [0, 3]")
    output = repository.run("dvc", "repro", "--single-item", f"train@{key}")
    assert f"{key} seed 0: step" in output and f"{key} seed 3: step" in output
    assert weights.read_bytes() == content
    damaged.unlink()
    damaged.write_bytes(content)


@pytest.mark.slow
def test_forcing_a_run_gives_the_same_bytes(repository: Repository) -> None:
    before = repository.lock
    stages = ["augment", "train@model1-leaky_relu", "combine@both", "evaluate", "report"]
    assert repository.repro("--force", "--single-item", *stages) == set(stages)
    assert repository.lock == before
    assert repository.run("git", "status", "--short") == ""


def test_the_two_stages_that_read_the_test_images_do_not_do_without(repository: Repository) -> None:
    """All others did, when the repository was made."""
    (repository.folder / "data/dataset/test.safetensors").unlink()
    for name in READ_TEST_IMAGES:
        output = repository.run("python", f"stages/{name}.py", code=2)
        assert "data/dataset/test.safetensors" in output


@pytest.mark.slow
def test_forcing_everything_gives_the_same_bytes(repository: Repository) -> None:
    before = repository.lock
    repository.run("dvc", "freeze", "download")
    assert repository.repro("--force") >= TRAININGS
    assert repository.lock == before


def test_every_trick_file_is_used_and_every_variant_has_a_stage() -> None:
    params = load_params(ROOT / "params.yaml")
    known = planned_variants(params, ablation=True)
    used = {trick for variant in known.values() for trick in variant.tricks}
    assert used == set(trick_names())
    trainings = list(variants(params).values())
    shares = split_work(trainings, 3)
    assert sorted(one.key for part in shares for one in part) == sorted(variants(params))
    # The transfer net once outweighed all others, and all but one process had nothing to do.
    work = [sum(map(seconds, part)) for part in shares]
    assert max(work) < 1.1 * min(work)
    assert len(split_work(trainings, 100)) == len(trainings)


def changed(repository: Repository) -> set[str]:
    """What `dvc status` names before anything runs, but what only looks each time."""
    status = json.loads(repository.run("dvc", "status", "--json"))
    return {stage for stage, reasons in status.items() if reasons != ["always changed"]}


def touch(repository: Repository, path: str) -> None:
    """Edits a source so that it does the same."""
    with (repository.folder / "src/cifar_tricks" / path).open("a") as file:
        file.write("# edited\n")


def test_a_net_retrains_what_is_made_of_it(repository: Repository) -> None:
    repository.edit("model2: {filters: [4]", "model2: {filters: [5]")
    assert changed(repository) & TRAININGS == {
        "train@model2-baseline",
        "train@model2-augment",
        "train@model2-leaky_relu",
        "combine@both",
        "sensitivity@batch_8",
    }


def test_an_edit_of_a_net_of_ones_own_retrains_that_net(repository: Repository) -> None:
    net = repository.folder / "my_nets.py"
    shutil.copyfile(ROOT / "docs/examples/my_nets.py", net)
    repository.edit("models:\n", "models:\n  mine: {target: my_nets.TinyNet}\n")
    assert repository.repro("train@mine-augment") == {"check", "train@mine-augment"}
    net.write_text(net.read_text().replace("dropout: float = 0.1", "dropout: float = 0.2"))
    assert repository.repro("check") == {"check"}
    of_mine = {f"train@mine-{trick}" for trick in ("baseline", "augment", "leaky_relu")}
    trainings = {stage for stage in changed(repository) if stage.partition("@")[2]}
    assert trainings == of_mine


def test_an_edit_of_code_retrains_what_runs_it(repository: Repository) -> None:
    touch(repository, "report/page/write.py")
    touch(repository, "evidence/statistics.py")
    assert changed(repository) == {
        "champion",
        "evaluate",
        "exercises",
        "experiment",
        "report",
        "visualize",
    }
    touch(repository, "transfer/net.py")
    assert changed(repository) & TRAININGS == {"transfer"}
    touch(repository, "training/loop.py")
    assert changed(repository) >= TRAININGS


WITH_COPIES = {"train@model1-augment", "train@model2-augment", "improve@best"}


def test_a_change_of_the_copies_retrains_what_trains_with_them(repository: Repository) -> None:
    touch(repository, "tricks/augment.py")
    assert repository.repro("augment") == {"check", "augment"}
    assert changed(repository) & TRAININGS == WITH_COPIES
    assert repository.repro("improve@best", "reference") == {"check", "improve@best"}
    repository.edit("augment: {padding: 4", "augment: {padding: 3")
    assert repository.repro("check") == {"check"}
    assert changed(repository) & TRAININGS == WITH_COPIES


def test_a_value_and_a_new_trick_of_one_file_and_one_line_train_their_variants_only(
    repository: Repository,
) -> None:
    repository.edit("negative_slope: 0.1", "negative_slope: 0.3")
    assert changed(repository) == {"check", *LEAKY}
    (repository.folder / "src/cifar_tricks/tricks/mish.py").write_text(
        '"""Mish in place of ReLU."""\n\n'
        "from dataclasses import replace\n\n"
        "from cifar_tricks.tricks import Call, Recipe, Trick\n\n\n"
        "class Mish(Trick):\n"
        '    """Source: Misra (2019)."""\n\n'
        "    def apply(self, recipe: Recipe) -> Recipe:\n"
        '        """Returns the recipe with ``torch.nn.Mish``."""\n'
        '        net = replace(recipe.net, activation=Call("torch.nn.Mish"))\n'
        "        return replace(recipe, net=net)\n"
    )
    repository.edit(
        "  leaky_relu: {negative_slope: 0.3}\n", "  leaky_relu: {negative_slope: 0.1}\n  mish: {}\n"
    )
    new = {"train@model1-mish", "train@model2-mish"}
    trainings = {*TRAININGS, *new, "download", "augment"}
    assert changed(repository) & trainings == new
    # Both changes at once, the value as DVC's experiments give it.
    change = ("-S", "tricks.leaky_relu.negative_slope=0.4", "-S", "trick=leaky_relu")
    ran = stages_run(repository.run("dvc", "exp", "run", *change, "evaluate"))
    assert ran & trainings == {*new, *LEAKY}
    assert ran >= {"check", "evaluate"}
    assert changed(repository) >= {"visualize", "champion", "report"}
    metrics = json.loads((repository.folder / "reports/quick/metrics.json").read_bytes())
    assert metrics["variants"].keys() >= {"model1-mish", "model2-mish"}
