"""Walks every command that README.md and docs/using.md show, in fresh clones: what does each do?

A command without an expectation here fails the test. ``make test-walk`` runs it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from helpers.dvc_repository import stages_run
from helpers.file_watch import Watch
from helpers.fresh_clone import MAKE, Checkout, make_clone, make_origin, make_place
from helpers.project import ROOT
from markdown_it import MarkdownIt
from PIL import Image
from sklearn.datasets import load_sample_image

from cifar_tricks.datasets.catalogue import CIFAR10

pytestmark = pytest.mark.walk

PAGES = [(ROOT / name).read_text("utf-8") for name in ("README.md", "docs/using.md")]
TOKENS = [token for page in PAGES for token in MarkdownIt("commonmark").parse(page)]
BLOCKS = [token for token in TOKENS if token.type in ("fence", "code_block")]
COMMAND = re.compile(r"(make|dvc|python3?|pip|git|\.) ")
ELSEWHERE = {
    "make test": "this test is one of its neighbours",
    "make test-faults": "takes a quarter of an hour; tests of its own",
    "make verify REPAIR=1": "nothing is damaged here; tests/commands/test_reproduce_check.py",
    "make ui PORT=5001": "a port that may be in use; tests/commands/test_ui.py",
    "dvc repro --force --single-item download": "needs a network; tests/data/test_fetch.py",
    "make setup TORCH=cpu": "needs a network; tests/commands/test_setup.py",
    "python -m cifar_tricks COMMAND": "stands for what make calls; tests/commands/test_main.py",
    "dvc cache dir --local /disk/cache && dvc config --local cache.type symlink": (
        "needs another disk; tests/repository/test_pipeline.py"
    ),
    "dvc exp run -S scale=full": "make share and make page run at that scale",
}


def shown() -> Iterator[str]:
    """The lines of code blocks, and the commands within the text."""
    for token in TOKENS:
        if token in BLOCKS and token.info not in ("python", "mermaid"):
            for line in token.content.splitlines():
                yield re.split(r"\s+#\s", line.strip())[0]
        for part in token.children or ():
            if part.type == "code_inline" and COMMAND.match(part.content):
                yield " ".join(part.content.split())


COMMANDS = list(dict.fromkeys(filter(None, shown())))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Where the commands are tried.

    Args:
        origin: what was cloned.
        here: a fresh clone after `make repro`, in a folder with an odd name.
        said: what that command printed.
        watch: what it wrote elsewhere.
        cache: of DVC, outside of both clones.
        there: a second clone that shares the cache of the first, in a folder with a plain name.
    """

    origin: Checkout
    here: Checkout
    said: str
    watch: Watch
    cache: Path
    there: Checkout


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    base = tmp_path_factory.mktemp("walk")
    place = make_place(base / "place")
    origin = make_origin(place)
    around, cache = make_place(base / "around"), base / "cache"
    here = make_clone(origin, around, "an odd plâce, 100%20 true?", cache=cache)
    photo = here.folder / "photo.jpg"
    watched = base / "watched"
    watched.mkdir()
    watch = Watch(here.folder, watched)
    own = {"HOME": str(watch.home), "TMPDIR": str(watch.temporary)}
    watch.environment = here.environment = here.environment | own
    done = watch.run(*MAKE.split(), "repro")
    assert done.returncode == 0, done.stdout
    there = make_clone(origin, place, "there", cache=cache, data=False)
    Image.fromarray(load_sample_image("china.jpg")).save(photo)
    return Walk(origin=origin, here=here, said=done.stdout, watch=watch, cache=cache, there=there)


def test_every_command_has_an_expectation() -> None:
    assert len(COMMANDS) > 20
    assert sorted(COMMANDS) == sorted([*SHOWS, *ELSEWHERE])


def trained(said: str) -> set[str]:
    """The stages that trained a net."""
    recorded = {line.removesuffix(": recorded") for line in said.splitlines()}
    names = stages_run(said) | (recorded - {*said.splitlines()})
    return {name for name in names if re.match("train@|reference|transfer", name)}


# What must hold after `make repro` in a fresh clone.


def test_it_writes_nothing_elsewhere(walk: Walk) -> None:
    site_cache = Path(walk.here.environment["DVC_SITE_CACHE_DIR"])
    assert walk.watch.outside(walk.cache, site_cache) == []


def test_a_store_that_was_deleted_is_filled_again(walk: Walk) -> None:
    for path in walk.here.folder.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(walk.here.folder / "mlartifacts")
    assert trained(walk.here.run("dvc repro")) == set()
    assert walk.here.logged() == walk.here.study
    assert walk.here.champions() == ["cifar-tricks-quick"]


def test_another_store_is_filled(walk: Walk) -> None:
    said = walk.here.run("dvc repro", MLFLOW_TRACKING_URI="sqlite:///another.db")
    assert trained(said) == set()
    assert walk.here.logged("another.db") == walk.here.study
    (walk.here.folder / "another.db").unlink()


def test_a_clone_with_a_shared_cache_trains_nothing_and_logs_everything(walk: Walk) -> None:
    assert walk.there.logged() == []
    walk.there.run("dvc checkout")
    assert trained(walk.there.run("dvc repro")) == set()
    assert walk.there.logged() == walk.there.study
    assert walk.there.git("status", "--short") == ""


# The commands, in the order in which a reader meets them.

Expectation = Callable[[Walk, str], None]
SHOWS: dict[str, Expectation] = {}


def shows(command: str) -> Callable[[Expectation], Expectation]:
    def add(expectation: Expectation) -> Expectation:
        SHOWS[command] = expectation
        return expectation

    return add


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ELSEWHERE])
def test_a_command_does_what_is_said_of_it(command: str, walk: Walk) -> None:
    SHOWS[command](walk, command)


@shows("make repro")
def everything_is_made_and_logged(walk: Walk, command: str) -> None:
    assert "Traceback" not in walk.said
    assert len(trained(walk.said)) == len(walk.here.study) / 2
    assert "\nThe report: reports/quick/index.html" in walk.said
    assert walk.here.logged() == walk.here.study
    assert walk.here.champions() == ["cifar-tricks-quick"]
    # The bytes that the origin committed.
    assert walk.here.git("status", "--short", "--untracked-files=no") == ""


@shows("make repro JOBS=2")
@shows("dvc repro")
def nothing_is_done_twice(walk: Walk, command: str) -> None:
    walk.here.git("reset", "--quiet", "--hard")
    assert trained(walk.here.run(command)) == set()
    assert walk.here.git("status", "--short", "--untracked-files=no") == ""
    assert walk.here.logged() == walk.here.study


@shows(". .venv/bin/activate")
def the_projects_python_is_found(walk: Walk, command: str) -> None:
    said = walk.here.run("python -c 'import dvc, sys; print(sys.prefix)'")
    assert Path(said.strip()).resolve() == Path(sys.prefix).resolve()


def evaluated_as(clone: Checkout, key: str) -> bool:
    """Whether the stage `experiment` found what the study did of this variant."""
    found = json.loads(clone.text("reports/experiment/metrics.json"))
    study = json.loads(clone.text("reports/quick/metrics.json"))["variants"][key]
    names = ("test_accuracy", "test_loss", "validation_accuracy", "train_accuracy")
    return all(found[name] == study[name]["mean"] for name in names)


@shows("dvc exp run -S trick=leaky_relu")
def another_variant_is_evaluated(walk: Walk, command: str) -> None:
    assert trained(walk.here.run(command)) == set()
    assert evaluated_as(walk.here, "model1-leaky_relu")
    assert walk.here.logged() == walk.here.study
    expected = ["model1-leaky_relu seed", "model1-leaky_relu variant"]
    assert walk.here.logged(experiments=True) == expected


@shows("dvc exp run -S trick=leaky_relu experiment")
def one_net_is_trained(walk: Walk, command: str) -> None:
    clone = make_clone(walk.origin, walk.there.folder.parent, "alone")
    assert trained(clone.run(command)) == {"train@model1-leaky_relu"}
    assert evaluated_as(clone, "model1-leaky_relu")


@shows("dvc exp run -S tricks.leaky_relu.negative_slope=0.3 -S trick=leaky_relu")
def two_nets_are_trained(walk: Walk, command: str) -> None:
    before = Counter(walk.here.logged(experiments=True))
    keys = ("model1-leaky_relu", "model2-leaky_relu")
    assert trained(walk.here.run(command)) == {f"train@{key}" for key in keys}
    assert '"negative_slope": 0.3' in walk.here.text("runs/quick/model1-leaky_relu/run.json")
    assert walk.here.logged() == walk.here.study
    added = Counter(walk.here.logged(experiments=True)) - before
    assert added == Counter(f"{key} {role}" for key in keys for role in ("variant", "seed"))


@shows("dvc exp show --only-changed")
def experiments_stand_side_by_side(walk: Walk, command: str) -> None:
    said = walk.here.run(command)
    listed = walk.here.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/exps").split()
    names = [name.split("/")[-1] for name in listed if not name.startswith("exec/")]
    assert len(names) == 2 and all(f"[{name}]" in said for name in names)
    assert "negative_slope" in said and "test_accuracy" in said


@shows(
    "dvc exp run --queue -S 'trick=leaky_relu,dropout' -S 'model=model1,model2'"
    " && dvc queue start -j 2"
)
def a_queue_of_experiments_ends(walk: Walk, command: str) -> None:
    assert walk.there.run(command).count("Queued experiment") == 4
    try:
        end = time.monotonic() + 300
        while (said := walk.there.run("dvc queue status")).count("Success") < 4:
            assert "Failed" not in said and time.monotonic() < end, said
            time.sleep(1)
    finally:
        walk.there.run("dvc queue stop")
    table = walk.there.run("make experiments")
    assert "Executor" not in table
    for model in ("model1", "model2"):
        for trick in ("leaky_relu", "dropout"):
            assert re.search(rf"\| {model} +\| {trick} ", table), table
    assert walk.there.logged() == walk.there.study


@shows("dvc exp run -S visualize.image=photo.jpg")
def the_photo_is_seen(walk: Walk, command: str) -> None:
    before = walk.here.text("reports/quick/activations.json")
    assert {"visualize", "report"} <= stages_run(said := walk.here.run(command))
    assert trained(said) == set()
    assert walk.here.text("reports/quick/activations.json") != before


def ask(address: str, path: str, body: object = None) -> Any:
    """An answer of MLflow's REST API."""
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@shows("make ui")
def the_runs_are_shown(walk: Walk, command: str) -> None:
    with walk.here.started(command) as server:
        assert server.stdout
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        links = re.findall(r"http://\S+", "".join(lines))
        assert len(links) == 3, lines
        address = links[0].partition("/#")[0]
        look_at_the_pages(address, links, walk.here.study)
        os.killpg(server.pid, signal.SIGINT)
        assert "Traceback" not in server.communicate(timeout=60)[0]
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)


def look_at_the_pages(address: str, links: list[str], study: list[str]) -> None:
    for link in links:
        with urllib.request.urlopen(link, timeout=30) as page:
            assert "<title>MLflow</title>" in page.read().decode()
        for run in re.findall(r"[0-9a-f]{32}", unquote(link)):
            ask(address, f"runs/get?run_id={run}")
    (experiment,) = set(re.findall(r"/experiments/(\d+)/", links[0]))
    runs = ask(address, "runs/search", {"experiment_ids": [experiment], "max_results": 1000})
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs["runs"]]
    own = [tag for tag in tags if "dvc.experiment" not in tag]
    assert sorted(f"{tag['variant']} {tag['role']}" for tag in own) == study
    champion = "registered-models/alias?name=cifar-tricks-quick&alias=champion"
    assert ask(address, champion)["model_version"]["run_id"]


@shows("make experiments")
def the_table_is_narrow(walk: Walk, command: str) -> None:
    lines = [line for line in walk.here.run(command).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 1 + 3  # header and rule, the commit, three experiments
    assert max(map(len, lines)) <= 160 and "| photo.jpg " not in lines[0], lines


@shows("make predict IMAGE=photo.jpg")
def a_photo_has_ten_probabilities(walk: Walk, command: str) -> None:
    rows = re.findall(r"^(\w+) +(0\.\d{3})$", walk.here.run(command), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(CIFAR10.class_names)
    assert sum(float(probability) for _, probability in rows) == pytest.approx(1, abs=0.01)


@shows("make page")
def what_is_on_record_has_a_page(walk: Walk, command: str) -> None:
    with walk.here.scale("full"):
        said = walk.here.run(command)
    assert "records/full/model1-baseline/seed=0.json: taken over" in said and " step " not in said
    assert "The report: reports/full/index.html" in said
    assert "model1-baseline" in walk.here.text("reports/full/report.md")


def records(clone: Checkout) -> set[str]:
    folder = clone.folder / "records/full"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}


@shows('make share SEEDS=3-5 KEYS="model1-adam model1-dropout"')
def ones_part_is_put_on_record(walk: Walk, command: str) -> None:
    before = records(walk.here)
    with walk.here.scale("full"):
        assert "4 of 4 are on record" in walk.here.run(command)
    keys, seeds = ("model1-adam", "model1-dropout"), (3, 5)
    assert records(walk.here) - before == {f"{key}/seed={n}.json" for key in keys for n in seeds}


@shows("make share")
def it_goes_on_until_it_is_ended(walk: Walk, command: str) -> None:
    before = records(walk.here)
    with walk.here.scale("full"), walk.here.started(command) as share:
        end = time.monotonic() + 300
        while records(walk.here) == before and share.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        os.killpg(share.pid, signal.SIGINT)
        said = share.communicate(timeout=120)[0]
    assert "interrupted; the next make share goes on from here" in said
    assert "Traceback" not in said and len(records(walk.here)) > len(before)


@shows("make verify")
def nothing_is_damaged(walk: Walk, command: str) -> None:
    assert re.search(r"\d+ files, .*: 0 damaged", walk.here.run(command))


@shows("make review")
def new_records_are_reviewed(walk: Walk, command: str) -> None:
    with walk.here.scale("full"):
        said = walk.here.run(command)
    assert said.count("| as planned |") >= 4 and "| the same weights |" in said


@shows("dvc plots show resume/<run>/history.csv -x step -y accuracy -t curves")
def a_training_has_a_chart(walk: Walk, command: str) -> None:
    run = next((walk.here.folder / "resume").iterdir()).name
    walk.here.run(command.replace("<run>", run))
    assert '"$schema": "https://vega' in walk.here.text("dvc_plots/index.html")


@shows("make help")
def all_targets_are_listed(walk: Walk, command: str) -> None:
    listed = walk.here.run(command)
    named = {name.split()[1] for name in COMMANDS if name.startswith("make ")}
    assert named <= {line.split()[0] for line in listed.splitlines()} | {"help"}


@shows("make doctor")
def the_machine_is_described(walk: Walk, command: str) -> None:
    with walk.here.started(command) as doctor:
        said = doctor.communicate(timeout=120)[0]
    assert "Traceback" not in said
    for topic in ("interpreter", "capacity", "disk", "device", "versions", "git", "cache"):
        assert re.search(rf"^(ok|note|FAIL) +{topic} ", said, re.MULTILINE), said
    assert re.search(r"^ok +tracking .*: \d+ runs$", said, re.MULTILINE), said


def test_the_example_of_a_trick_works_as_it_stands(walk: Walk) -> None:
    clone = walk.there
    clone.git("reset", "--quiet", "--hard")
    (code,) = (block.content for block in BLOCKS if block.info == "python")
    path, line = "src/cifar_tricks/tricks/mish.py", "mish: {}"
    assert f"`{path}`" in PAGES[0] and f"`{line}`" in PAGES[0]
    (clone.folder / path).write_text(code)
    params = clone.text("params.yaml").replace("tricks:\n", f"tricks:\n  {line}\n", 1)
    (clone.folder / "params.yaml").write_text(params)
    assert trained(clone.run("dvc repro")) == {"train@model1-mish", "train@model2-mish"}
    assert "mish" in clone.text("reports/quick/report.md")
    assert {"model1-mish variant", "model2-mish variant"} <= set(clone.logged())
    checked = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), path]
    subprocess.run([sys.executable, "-m", *checked], cwd=clone.folder, check=True)
