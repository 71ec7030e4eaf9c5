"""The driver for a GPU that is at hand for minutes, tried on a CPU."""

import json
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from helpers.project import ROOT
from helpers.workplace import edit, workplace  # noqa: F401 - a fixture

from cifar_tricks.base.signed_json import read_signed

# As on a bare machine: what may be missing there cannot be imported.
PROGRAM = """
import sys
for name in ("dvc", "mlflow", "pandas", "matplotlib", "scipy", "sklearn", "tqdm.auto"):
    sys.modules[name] = None
sys.path.insert(0, "benchmarks")
import gpu
sys.exit(gpu.main(sys.argv[1:]))
"""


def gpu(
    *arguments: object, folder: Path = ROOT, program: str = PROGRAM
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""},
    )


@pytest.mark.slow
def test_check_finds_every_way_equal_for_every_trick(tmp_path: Path) -> None:
    done = gpu("check", "--output", tmp_path / "out", "--device", "cpu", "--minutes", 5)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/check.json").read_text())
    assert found.pop("wrong") == [] and found.pop("about")["device"] == "cpu"
    nets = {name: found.pop(name) for name in [*found] if name.startswith("gradients of ")}
    assert len(nets) == 5 and set(nets.values()) == {0.0}
    tricks = {path.stem for path in (ROOT / "src/cifar_tricks/tricks").glob("[!_]*.py")}
    assert {*tricks, *(f"{name}, bf16" for name in tricks)} < set(found)
    for verdict in found.values():
        assert verdict.pop("seconds") > 0
        assert verdict == dict.fromkeys(("graphs", "alone", "again", "resumed"), True)


def test_what_would_not_end_in_time_is_not_begun(tmp_path: Path) -> None:
    parts = ("check", "profile", "seeds", "bench")
    done = gpu(*parts, "--output", tmp_path, "--device", "cpu", "--minutes", 1e-6)
    assert done.returncode == 0, done.stderr
    for part in parts:
        assert json.loads((tmp_path / f"{part}.json").read_text())["not begun"]


def test_the_other_parts_measure(tmp_path: Path) -> None:
    arguments = ("--output", tmp_path, "--device", "cpu", "--images", 1000, "--minutes", 5)
    done = gpu("profile", "seeds", "bench", *arguments)
    assert done.returncode == 0, done.stderr
    profile, seeds, bench = (
        json.loads((tmp_path / f"{part}.json").read_text())
        for part in ("profile", "seeds", "bench")
    )
    step = profile["model2-baseline bf16"]
    assert step["us"] >= step["host_us"] > 0 and step["kernels"] > 40 and len(step["longest"]) == 16
    assert seeds["model2-baseline, 2 seeds"]["images_per_second"] > 0
    assert bench["model2-baseline, usual, 0 workers"] > 0
    assert bench["model2-baseline, bf16, 2 seeds, whole training"]["steps"] == 14


def test_a_study_trains_in_the_given_order_and_packs_its_records(workplace: Path) -> None:  # noqa: F811
    shutil.copytree(ROOT / "benchmarks", workplace / "benchmarks")
    keys = ["model2-baseline", "model1-adam"]
    arguments = ["study", "--scale", "quick", "--device", "cpu", "--seeds", 0, "--output", "out"]
    done = gpu(*arguments, "--minutes", 2, "--keys", *keys, folder=workplace)
    assert done.returncode == 0, done.stderr
    report = json.loads((workplace / "out/study.json").read_text())
    told = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("study: ")]
    assert told == ["about", *keys]
    with tarfile.open(workplace / "out/records.tar.gz") as packed:
        packed.extractall(workplace, filter="data")
    for key in keys:
        assert report[key]["recorded"] == [0]
        path = workplace / f"records/quick/{key}/seed=0.json"
        assert read_signed(path.read_bytes())["run"]["key"] == key
    assert sorted(path.name for path in (workplace / "out").iterdir()) == [
        "records.tar.gz",
        "study.json",
    ]


@pytest.mark.slow
def test_a_study_ends_in_time_in_the_middle_of_its_first_training(workplace: Path) -> None:  # noqa: F811
    shutil.copytree(ROOT / "benchmarks", workplace / "benchmarks")
    edit("num_epochs: 3", "num_epochs: 100000")
    edit("early_stop_count: 4", "early_stop_count: 1000000")
    keys = ["model2-baseline", "model1-adam"]
    arguments = ["study", "--scale", "quick", "--device", "cpu", "--seeds", 0, "--output", "out"]
    begun = time.monotonic()
    done = gpu(*arguments, "--minutes", 0.25, "--keys", *keys, folder=workplace)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 15 + 10  # with the start of the process
    report = json.loads((workplace / "out/study.json").read_text())
    assert (report["cut short"], report["not begun"]) == (keys[0], keys[1:])
    assert report[keys[0]]["recorded"] == []


# Of all of them one process, which tells each one's exit code and error output.
MISTAKES = PROGRAM.replace(
    "sys.exit(gpu.main(sys.argv[1:]))",
    """
import contextlib, io, json
found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as told:
        try:
            code = gpu.main(arguments)
        except SystemExit as ended:
            code = ended.code
    found.append([code, told.getvalue()])
print(json.dumps(found))
""",
)


def test_a_mistake_is_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data/dataset"
    data.mkdir(parents=True)
    for name in ("train", "test"):
        (data / f"{name}.safetensors").touch()
    mistakes = [
        (["check", "--minutes", "0"], "argument --minutes: 0: valid: a number above 0"),
        (["check", "--minutes", "nan"], "argument --minutes: nan"),
        (["check", "--minutes", "soon"], "argument --minutes: soon"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["profile", "--images", "12"], "argument --images: 12: valid: 1000 to 1000000"),
        (["check", "--device", "cuda"], "no CUDA device is available; valid: auto, cpu"),
        (["study", "--scale", "ful"], "--scale ful: "),
        (["study", "--keys", "model1-adan"], "--keys model1-adan: no such variant; "),
        (["study", "--seeds", "77"], "--seeds 77: scale full_gpu plans [0, 1,"),
        (["study", "--data", "nowhere"], "nowhere/dataset/train.safetensors is missing"),
    ]
    common = ["--output", str(tmp_path / "out"), "--data", str(data.parent)]
    given = json.dumps([[*common, *arguments] for arguments, _ in mistakes])
    done = gpu(given, program=MISTAKES)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for (code, told), (arguments, message) in zip(found, mistakes, strict=True):
        assert code == 2, (arguments, told)
        assert told.startswith("error: ") and message in told
        assert len(told.splitlines()) == 1


def test_an_output_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = gpu("check", "--device", "cpu", "--output", tmp_path / "file")
    assert done.returncode == 2 and done.stderr.startswith("error: cannot write ")
    assert len(done.stderr.splitlines()) == 1
