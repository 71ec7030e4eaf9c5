"""Which package may import which, and which code each stage of dvc.yaml names."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.project import ROOT
from ruamel.yaml import YAML

from cifar_tricks.parameters.imported import ImportedSpec
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.training.call import MOVED

PACKAGE = ROOT / "src/cifar_tricks"
# Each imports only those before it.
PACKAGES = [
    "base",
    "training",
    "transfer",
    "tricks",
    "data",
    "datasets",
    "parameters",
    "imported",
    "runs",
    "evaluation",
    "evidence",
    "exercises",
    "tracking",
    "charts",
    "judge",
    "figures",
    "report",
    "engines",
    "commands",
    "doctor",
]
# What recipes name and nobody imports; the stages that train it name it themselves.
NAMED_BY_RECIPES = {*MOVED, *MOVED.values(), "cifar_tricks.transfer.net.TransferNet"}
NAMED_BY_RECIPES |= {ImportedSpec.module.target, ImportedSpec.check.target}
PATH = re.compile(r"cifar_tricks(\.\w+)+\.?")
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def modules_named_in(path: Path) -> Iterator[str]:
    """Import paths of this project: in imports anywhere in a file, and in whole strings."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and PATH.fullmatch(str(node.value)):
            yield str(node.value)


def test_a_package_imports_only_those_before_it() -> None:
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found == set(PACKAGES)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}
    for path in PACKAGE.glob("*/**/*.py"):
        package = path.relative_to(PACKAGE).parts[0]
        allowed = PACKAGES[: PACKAGES.index(package) + 1]
        for name in modules_named_in(path):
            imported = name.removeprefix("cifar_tricks.").split(".")[0]
            if name.startswith("cifar_tricks.") and imported and name not in NAMED_BY_RECIPES:
                assert imported in allowed, f"{path}: {name}"


def test_folders_and_modules_stay_small() -> None:
    for folder in (path.parent for path in PACKAGE.rglob("__init__.py")):
        modules = [path for path in folder.glob("*.py") if path.stem[:2] != "__"]
        # Of tricks there are as many as anyone adds: one file each, none of which knows another.
        assert len(modules) <= 17 or folder.name == "tricks", folder
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 220, path


def reached(path: Path, seen: set[Path]) -> set[Path]:
    """Files of the package that a file imports, directly or not."""
    for name in set(modules_named_in(path)) - NAMED_BY_RECIPES:
        for place in (name, name.rpartition(".")[0]):
            module = ROOT / "src" / place.replace(".", "/")
            for file in (module.with_suffix(".py"), module / "__init__.py"):
                if file.is_file() and file not in seen:
                    seen.add(file)
                    reached(file, seen)
    return seen


def code_of(stage: str) -> set[str]:
    """The code that a stage of dvc.yaml names, below the package."""
    deps = STAGES[stage].get("do", STAGES[stage])["deps"]
    return {dep.removeprefix("src/cifar_tricks/") for dep in deps if dep.startswith("src/")}


def script_of(stage: str) -> Path:
    return ROOT / STAGES[stage].get("do", STAGES[stage])["cmd"].split()[1]


TRAININGS = [stage for stage in STAGES if script_of(stage).name == "train.py"]
# How files are read and mistakes told: no result depends on it.
PLUMBING = {"base"}
# What params.yaml comes to, what is known of its data set included, in files that `check` writes.
FROM_PARAMETERS = ("data/params.valid", "data/study.json", "data/recipes/")
# What the results of all other stages come from, so that they need not name it.
STOOD_ON = {code.split("/")[0] for stage in TRAININGS for code in code_of(stage)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_every_package_that_it_reaches(stage: str) -> None:
    packages = {
        path.relative_to(PACKAGE).parts[0]
        for path in reached(script_of(stage), set())
        if path.is_relative_to(PACKAGE) and path.parent != PACKAGE
    }
    deps = STAGES[stage].get("do", STAGES[stage])["deps"]
    named = {code.split("/")[0] for code in code_of(stage)}
    needed = packages - PLUMBING
    # A recipe names its tricks and its net: see below.
    needed -= {"tricks", "transfer"} if stage in TRAININGS else STOOD_ON
    if any(dep.startswith(FROM_PARAMETERS) for dep in deps):
        needed -= {"parameters", "datasets"}
    assert needed <= named, f"{stage} misses {sorted(needed - named)}"
    assert named <= packages | STOOD_ON, f"{stage} does not need {sorted(named - packages)}"
    assert str(script_of(stage).relative_to(ROOT)) in deps
    assert len([dep for dep in deps if dep.startswith(("src/", "stages/"))]) <= 10


def test_trainings_name_what_all_of_them_run() -> None:
    assert set(TRAININGS) == {
        "reference",
        "train",
        "improve",
        "combine",
        "sensitivity",
        "transfer",
    }
    for stage in TRAININGS:
        assert code_of(stage) >= {"training", "runs"}, stage
    assert "transfer" in code_of("transfer")
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 350
    # DVC writes it whole for each stage that it records.
    assert len((ROOT / "dvc.lock").read_text().splitlines()) <= 4_500


def test_one_module_reads_the_test_images() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    reading = [path for path in files if "test.safetensors" in path.read_text()]
    assert reading == [PACKAGE / "evaluation/test_images.py"]
    for path in PACKAGE.rglob("*.py"):
        if "cifar_tricks.evaluation.test_images" in {*modules_named_in(path)}:
            assert path.relative_to(PACKAGE).parts[0] in ("evaluation", "commands"), path


def test_only_two_stages_can_reach_the_test_images() -> None:
    reader, file = PACKAGE / "evaluation/test_images.py", "data/dataset/test.safetensors"
    for stage in STAGES:
        reads = stage in ("evaluate", "experiment")
        assert (reader in reached(script_of(stage), set())) == reads, stage
        assert (file in STAGES[stage].get("do", STAGES[stage])["deps"]) == reads, stage


def test_the_report_is_written_without_pytorch() -> None:
    """Which takes a second to import."""
    modules = "report, champion, track, cifar_tricks.report.write, cifar_tricks.report.champion"
    modules += ", cifar_tricks.tracking.registry"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/src{os.pathsep}{ROOT}/stages"}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0


def test_what_recipes_call_is_named_by_the_stages_that_train_it() -> None:
    for variant in variants(load_params(ROOT / "params.yaml")).values():
        calls = [call.place for call in variant.recipe.calls()]
        packages = {call.split(".")[1] for call in calls if call.startswith("cifar_tricks.")}
        stage = "train" if variant.group == "tricks" else variant.group
        named = {code.split("/")[0] for code in code_of(stage)}
        assert packages - {"tricks"} <= named, variant.key  # their hashes are in data/recipes
