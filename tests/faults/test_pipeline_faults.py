"""The whole pipeline in a real DVC repository: killed, stopped, damaged, and in odd places."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from helpers.dvc_repository import (
    LEAKY,
    LOOKS,
    Repository,
    Started,
    queue_workers,
    stages_run,
    wait_for,
)
from ruamel.yaml import YAML

from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import variants

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]
KEY = "model2-leaky_relu"


def make_repro(folder: Path) -> Started:
    command = (sys.executable, "-m", "cifar_tricks", "repro", "--jobs", "2")
    return Started(folder, *command, PYTHONPATH=str(folder / "src"))


def trainings(folder: Path) -> dict[str, psutil.Process]:
    """The trainings that run in a folder, by variant; of a list, by the first."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            for script in {"stages/train.py", "cifar_tricks.commands.train"} & {*command}:
                if Path(process.cwd()) == folder:
                    found[command[command.index(script) + 1]] = process
    return found


def claimed(folder: Path, number: int) -> Callable[[], bool]:
    """Whether so many trainings have taken up their work."""
    return lambda: len(list((folder / "resume").glob(".locks/*.pid"))) >= number


@pytest.fixture
def long(repository: Repository) -> Iterator[Repository]:
    """Trainings of both models that take a while; no process is left behind."""
    repository.edit("num_epochs: 2", "num_epochs: 3000")
    repository.edit("early_stop_count: 4", "early_stop_count: 100000")
    yield repository
    for process in trainings(repository.folder).values():
        process.kill()
    shutil.rmtree(repository.folder / "resume", ignore_errors=True)


@pytest.mark.fault("orphan")
def test_a_training_whose_dvc_was_killed_is_not_started_twice(long: Repository) -> None:
    folder = long.folder
    dvc = Started(folder, "dvc", "repro", "--single-item", f"train@{KEY}")
    wait_for(claimed(folder, 1))
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.end()
    training = trainings(folder)[KEY]
    output = long.run("dvc", "repro", "--single-item", f"train@{KEY}", code=255)
    message = f"error: this run is already being trained by process {training.pid}; wait for it"
    assert message in output, output
    assert training.is_running() and "Traceback" not in output
    training.terminate()
    wait_for(lambda: not trainings(folder))
    dvc = Started(folder, "dvc", "repro", "--single-item", f"train@{KEY}")
    assert dvc.first_steps(1)[KEY] > 1, "it goes on where it was"
    dvc.end(kind=signal.SIGINT)


@pytest.mark.fault("orphan", tried=2)
def test_a_second_repro_is_refused(long: Repository) -> None:
    folder = long.folder
    first = make_repro(folder)
    wait_for(claimed(folder, 2))
    second = make_repro(folder)
    code, output = second.end()
    assert code == 2
    assert output == f"error: make repro runs here already, as process {first.pid}: wait for it\n"
    key = next(iter(trainings(folder)))
    stage = variants(load_params(long.params))[key].stage
    code, output = Started(folder, "dvc", "repro", "--single-item", stage).end(seconds=120)
    assert code == 255 and "Traceback" not in output
    assert "already being trained" in output, output
    assert len(trainings(folder)) == 2
    first.end(kind=signal.SIGINT)


@pytest.mark.fault("orphan")
def test_what_a_killed_make_repro_left_running_refuses_a_second_writer(long: Repository) -> None:
    folder = long.folder
    first = make_repro(folder)
    wait_for(claimed(folder, 2))
    time.sleep(2)
    os.kill(first.pid, signal.SIGKILL)
    first.end()
    left = trainings(folder)
    assert len(left) == 2
    # They are alive until they next print, for nobody reads it; meanwhile they refuse a second
    # writer.
    again = make_repro(folder)

    def refused_or_gone() -> bool:
        gone = not any(process.is_running() for process in left.values())
        return "already being trained" in again.output or (gone and len(trainings(folder)) == 2)

    wait_for(refused_or_gone)
    code, output = again.end(kind=signal.SIGINT)
    assert code == 130 and "Traceback" not in output, output
    for process in trainings(folder).values():
        process.terminate()
    wait_for(lambda: not trainings(folder))


@pytest.mark.fault("store", tried=2)
def test_the_study_goes_on_without_mlflow_and_is_logged_later_once(repository: Repository) -> None:
    folder = repository.folder

    def logged() -> int:
        with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
            query = "select count(*) from runs where lifecycle_stage = 'active'"
            return int(connection.execute(query).fetchone()[0])

    before = logged()
    repository.edit("negative_slope: 0.1}\nimprove", "negative_slope: 0.2}\nimprove")
    nowhere = "http://127.0.0.1:9"
    process = Started(folder, "dvc", "repro", "--keep-going", MLFLOW_TRACKING_URI=nowhere)
    code, output = process.end(seconds=300)
    assert code == 255 and "Traceback" not in output, output
    assert {*LEAKY, "evaluate", "report", "track"} <= stages_run(output)
    assert "failed to reproduce 'track'" in output and logged() == before
    assert repository.repro() == LOOKS
    after = logged()
    assert after == before + 4, "two nets, each a run for the variant and one for its seed"
    repository.run("dvc", "repro", "--force", "--single-item", "track")
    assert logged() == after


@pytest.mark.fault("signal")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_make_repro_ends_at_once_and_goes_on_later(kind: signal.Signals, long: Repository) -> None:
    """Ctrl-C reaches the whole group; a batch system may tell one process only."""
    folder = long.folder
    process = make_repro(folder)
    wait_for(claimed(folder, 2))
    time.sleep(2)
    begun = set(trainings(folder))
    started = time.monotonic()
    if kind != signal.SIGINT:
        os.kill(process.pid, kind)
    code, output = process.end(kind=kind if kind == signal.SIGINT else None)
    assert time.monotonic() - started < 10
    assert code == 128 + kind, output
    assert "Traceback" not in output
    assert output.endswith("interrupted; the next make repro goes on from here\n"), output[-500:]
    assert not trainings(folder)
    states = {path.parent.name for path in (folder / "resume").glob("*/state.safetensors")}
    assert states
    for name in states:
        assert any(name.startswith(f"{key}-") for key in begun), (name, begun)
    again = make_repro(folder)
    steps = again.first_steps(len(states))
    assert all(step > 4 for step in steps.values()), steps
    again.end(kind=signal.SIGINT)


@pytest.mark.fault("diverge")
def test_a_net_that_diverges_stops_at_once_and_the_others_go_on(repository: Repository) -> None:
    before = json.loads((repository.folder / "reports/quick/metrics.json").read_text())["variants"]
    repository.edit("train: {batch_size: 8}", "train: {learning_rate: 1000.0}")
    repository.run("dvc", "repro")
    key = "sensitivity-batch_8"
    run = json.loads((repository.folder / f"runs/quick/{key}/run.json").read_text())
    assert run["seeds"]["0"]["status"] == "diverged" and run["seeds"]["0"]["steps"] <= 4
    after = json.loads((repository.folder / "reports/quick/metrics.json").read_text())["variants"]
    assert {name for name in before if before[name] != after[name]} == {key}
    report = (repository.folder / "reports/quick/report.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith("| `sensitivity-batch_8` |"))
    assert "diverged" in row
    assert "diverged" in (repository.folder / "reports/quick/index.html").read_text()


def flip(path: Path) -> None:
    """Turns one bit round as a failing disk does: size and times stay as they were."""
    times, mode = path.stat(), path.stat().st_mode
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    path.chmod(mode)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def verify(repository: Repository, *options: str) -> tuple[int, str]:
    command = (sys.executable, "-m", "cifar_tricks", "verify", *options)
    process = Started(repository.folder, *command, PYTHONPATH=str(repository.folder / "src"))
    code, output = process.end(seconds=120)
    assert "Traceback" not in output, output
    return code, output


@pytest.mark.fault("damage")
def test_every_flipped_bit_is_found_and_made_good(
    repository: Repository,
    record_property: Record,
) -> None:
    folder = repository.folder
    code, output = verify(repository)
    assert code == 0 and output.endswith("0 damaged\n"), output
    cache = sorted(folder.glob(".dvc/cache/files/md5/??/*"))
    files = [
        "data/dataset/train.safetensors",
        "data/augmented.safetensors",
        "data/manifest.json",
        "data/pretrained/resnet18.safetensors",
        f"runs/quick/{KEY}/run.json",
        f"runs/quick/{KEY}/seed=0/history.csv",
        "runs/quick/transfer/seed=0/model.safetensors",
        *(str(path.relative_to(folder)) for path in random.Random(0).sample(cache, 12)),
    ]
    record_property("tried", len(files) + 2)
    for name in files:
        flip(folder / name)
        code, output = verify(repository)
        assert code == 1 and output.startswith(f"{name}: "), (name, output)
        flip(folder / name)
    assert verify(repository)[0] == 0
    # Together with the object that it would be restored from, then all of them at once.
    lock = repository.lock
    target = folder / f"runs/quick/{KEY}/seed=0/model.safetensors"
    objects = [path for path in cache if path.read_bytes() == target.read_bytes()]
    assert len(objects) == 1
    for path in (target, *objects):
        flip(path)
    process = Started(folder, "python", "stages/evaluate.py")
    code, output = process.end()
    assert code == 2 and output.count("\n") == 1
    assert f"{target.relative_to(folder)} is damaged" in output and "make verify" in output
    for name in files[:7]:
        flip(folder / name)
    assert verify(repository, "--repair")[0] == 1
    assert repository.repro() == {f"train@{KEY}", *LOOKS}
    assert repository.lock == lock
    assert verify(repository)[0] == 0


@pytest.mark.fault("damage", tried=4)
def test_what_is_read_is_checked_where_it_is_read(repository: Repository) -> None:
    folder = repository.folder
    reads = {
        "data/dataset/test.safetensors": "evaluate",
        f"runs/quick/{KEY}/seed=0/model.safetensors": "evaluate",
        f"runs/quick/{KEY}/run.json": "report",
        f"runs/quick/{KEY}/seed=0/history.csv": "visualize",
    }
    for name, stage in reads.items():
        flip(folder / name)
        process = Started(folder, "python", f"stages/{stage}.py")
        code, output = process.end(seconds=120)
        assert code == 2, output
        assert output.startswith(f"error: {name} is damaged"), output
        command = f"rm -rf {name} && dvc checkout {name}"
        assert command in output and output.count("\n") == 1
        repository.run("sh", "-c", command)
    assert verify(repository)[0] == 0


WATCH = """\
import os, sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        # urllib3 asks on import whether there is IPv6, by a socket that is bound and closed.
        if event != "socket.getaddrinfo" and isinstance(args[1], (str, bytes)):
            return  # of the local kind
        if (event, args[1]) != ("socket.bind", ("::1", 0)):
            with open(os.environ["SOCKETS"], "a") as file:
                file.write(f"{sys.argv[:3]} {event} {args[1:]}\\n")
sys.addaudithook(watch)
"""


@pytest.mark.fault("place", tried=4)
def test_odd_folder_plain_locale_read_only_home_and_no_network(tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner für 数据"
    folder.mkdir()
    repository = Repository(folder)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(WATCH)
    sockets = tmp_path / "sockets.txt"
    # /proc can be written by nobody.
    more = {"LANG": "C", "LC_ALL": "C", "HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache"}
    more |= {"XDG_CONFIG_HOME": "/proc/config", "SOCKETS": str(sockets)}
    more |= {"PYTHONPATH": str(tmp_path / "watch"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    offline = ["unshare", "--net"] if os.getuid() == 0 else []
    if offline and subprocess.run([*offline, "true"], capture_output=True).returncode:
        offline = []
    process = Started(folder, *offline, "dvc", "repro", **more)
    code, output = process.end(seconds=600)
    assert code == 0, output[-3000:]
    assert (folder / "reports/quick/index.html").exists()
    assert not sockets.exists(), sockets.read_text()
    assert repository.repro() == LOOKS


def queue(repository: Repository, slope: str, epochs: int) -> None:
    changes = [f"tricks.leaky_relu.negative_slope=0.{slope}", f"scales.quick.num_epochs={epochs}"]
    changes += ["trick=leaky_relu", "model=model2"]
    options = [option for change in changes for option in ("-S", change)]
    repository.run("dvc", "exp", "run", "--queue", "-n", f"slope-{slope}", *options, "experiment")


def statuses(repository: Repository) -> dict[str, str]:
    """Of the queue's tasks, by name."""
    lines = [line.split() for line in repository.run("dvc", "queue", "status").splitlines()]
    return {line[1]: line[-1] for line in lines if len(line) > 2 and line[1].startswith("slope-")}


@pytest.mark.fault("queue")
def test_an_experiment_of_a_queue_that_is_killed(repository: Repository) -> None:
    repository.edit("early_stop_count: 4", "early_stop_count: 100000")
    training_code = repository.folder / "src/cifar_tricks/training/loop.py"
    often = training_code.read_text().replace("CHECKPOINTS = 30.0", "CHECKPOINTS = 1.0")
    training_code.write_text(often)
    repository.commit()
    for slope, epochs in (("2", 3), ("3", 5000), ("4", 3)):
        queue(repository, slope, epochs)
    copies = repository.folder / ".dvc/tmp/exps"

    def long_training() -> psutil.Process | None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                inside = Path(process.cwd()).is_relative_to(copies)
                if inside and "stages/train.py" in process.cmdline():
                    params = (Path(process.cwd()) / "params.yaml").read_text()
                    if "5000" in params:
                        return process
        return None

    with queue_workers(repository):
        training = wait_for(long_training)
        state = repository.folder / "resume"
        wait_for(lambda: list(state.glob("*/state.safetensors")))
        training.kill()
        ended = ("Success", "Failed")
        wait_for(lambda: set(statuses(repository).values()) <= set(ended), seconds=120)
    assert statuses(repository) == {"slope-2": "Success", "slope-3": "Failed", "slope-4": "Success"}
    repository.run("dvc", "queue", "remove", "--failed")
    queue(repository, "3", 5000)
    with queue_workers(repository):
        wait_for(lambda: statuses(repository).get("slope-3") in ended, seconds=400)
    assert statuses(repository)["slope-3"] == "Success"
    output = repository.run("dvc", "queue", "logs", "slope-3")
    first = next(line for line in output.splitlines() if " seed 0: step " in line)
    assert int(first.split("step ")[1].split("/")[0]) > 1, "it went on where it was killed"


# What a message names as the way out: the command ends where the sentence goes on.
COMMAND = re.compile(r"((?:rm|cp|git|dvc) .+?)(?=; |, | writes | gets |$)", re.MULTILINE)


def followed(repository: Repository, name: str, *command: str) -> set[str]:
    """Follows the remedy that a stage prints about a file; the stages that ran meanwhile."""
    output = repository.run(*command, code=2)
    assert output.startswith("error: ") and name in output and output.count("\n") == 1, output
    remedy = COMMAND.search(output)
    assert remedy, output
    return stages_run(repository.run("sh", "-c", remedy[1]))


@pytest.mark.fault("damage", tried=11)
def test_a_printed_remedy_makes_good_the_damage_and_runs_no_more(repository: Repository) -> None:
    folder, run, report = repository.folder, f"runs/quick/{KEY}", "reports/quick"
    damages = [
        (f"{report}/metrics.json", b"{", "report", "evaluate"),
        (f"{report}/metrics.json", None, "report", "evaluate"),
        (f"{report}/predictions.csv.gz", b"x", "report", "evaluate"),
        (f"{report}/predictions.csv.gz", None, "visualize", "evaluate"),
        (f"{report}/calibration.csv", b"key", "report", "evaluate"),
        (f"{report}/exercises.json", b"{", "report", "exercises"),
        (f"{report}/champion/model.json", b"{", "track", "champion"),
        (f"{run}/run.json", b"{", "evaluate", None),
        (f"{run}/seed=0/history.csv", None, "visualize", None),
        (f"{run}/seed=0/model.safetensors", b"x", "evaluate", None),
        ("data/dataset/test.safetensors", None, "evaluate", None),
    ]
    for name, content, reader, maker in damages:
        path = folder / name
        before = path.read_bytes()
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        ran = followed(repository, name, "python", f"stages/{reader}.py")
        assert ran - LOOKS <= {maker}, (name, ran)
        assert path.read_bytes() == before, name
    assert repository.repro() == LOOKS


@pytest.mark.fault("damage", tried=3)
def test_a_remedy_of_verify_runs_one_stage_at_most(repository: Repository) -> None:
    folder, lock = repository.folder, repository.lock
    target = folder / f"runs/quick/{KEY}/seed=0/model.safetensors"
    cache, content = folder / ".dvc/cache/files/md5", target.read_bytes()
    (damaged,) = [path for path in cache.glob("??/*") if path.read_bytes() == content]
    (output,) = YAML(typ="safe").load(lock)["stages"][f"train@{KEY}"]["outs"]
    listing = cache / output["md5"][:2] / output["md5"][2:]
    for paths, ran in (
        ([damaged], set()),
        ([listing], {f"train@{KEY}"}),
        ([damaged, target], {f"train@{KEY}"}),
    ):
        for path in paths:
            flip(path)
        code, found = verify(repository)
        assert code == 1
        told = set()
        for line in found.splitlines()[: len(paths)]:
            remedy = COMMAND.search(line)
            assert remedy, line
            told |= stages_run(repository.run("sh", "-c", remedy[1]))
        assert told == ran, found
        assert verify(repository)[0] == 0
    assert repository.lock == lock
