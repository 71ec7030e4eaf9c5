"""Whatever an outer tool, a shell or a container sets: the same bytes, or one line."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers.project import ROOT, link_code
from helpers.workplace import edit

from cifar_tricks.base import files, variables
from cifar_tricks.base.surroundings import SOURCE, settled
from cifar_tricks.commands.processes import DVC, running_alone

# Each would break a run, redirect its files or change its sums.
HOSTILE = {
    "BLIS_NUM_THREADS": "9",
    "COLUMNS": "0",
    "CUBLAS_WORKSPACE_CONFIG": "nonsense",
    "CUDA_VISIBLE_DEVICES": "",
    "CURL_CA_BUNDLE": "/nonexistent",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "DVC_DAEMON": "1",
    "DVC_ROOT": "/nonexistent",
    "DVC_SITE_CACHE_DIR": "/nonexistent",
    "DVC_TEST": "1",
    "FORCE_COLOR": "1",
    "GIT_COMMON_DIR": "/nonexistent",
    "GIT_DIR": "/nonexistent",
    "GIT_INDEX_FILE": "/nonexistent/index.lock",
    "GIT_OBJECT_DIRECTORY": "/nonexistent",
    "GIT_WORK_TREE": "/nonexistent",
    "GOMP_CPU_AFFINITY": "nonsense",
    "HOME": "/nonexistent",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "KMP_AFFINITY": "nonsense",
    "LANG": "xx_YY",
    "LC_ALL": "C",
    "LINES": "x",
    "MATPLOTLIBRC": "rc",
    "MKL_DYNAMIC": "TRUE",
    "MLFLOW_EXPERIMENT_ID": "123456",
    "MLFLOW_EXPERIMENT_NAME": "another",
    "MLFLOW_REGISTRY_URI": "nonsense://",
    "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
    "MPLBACKEND": "nonsense",
    "MPLCONFIGDIR": "rc",
    "NO_COLOR": "1",
    "NVIDIA_TF32_OVERRIDE": "1",
    "OMP_DYNAMIC": "TRUE",
    "OMP_NUM_THREADS": "1,nonsense",
    "OMP_THREAD_LIMIT": "1",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "OPENBLAS_NUM_THREADS": "x",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONHASHSEED": "12",
    "PYTHONINSPECT": "1",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "shadow",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "SOURCE_DATE_EPOCH": "x",
    "SSL_CERT_FILE": "/nonexistent",
    "TMPDIR": "/nonexistent",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "TORCH_LOGS": "nonsense",
    "TQDM_MININTERVAL": "x",
    "TZ": "Pacific/Kiritimati",
    "XDG_CACHE_HOME": "stray",
    "XDG_CONFIG_HOME": "stray",
}
DRAW = """\
from pathlib import Path
from _run import run

def main(argv):
    import mlflow, pandas, scipy.stats
    from cifar_tricks.figures.style import save_figure
    line = lambda figure: figure.subplots().plot([0, 2, 1], label="Größe")
    save_figure(Path("reports/line.png"), 2, lambda figure: figure.legend(handles=line(figure)))

run(main)
"""
OUTPUTS = ("runs", "reports")


def run(
    *command: str, code: int = 0, clean: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    surroundings = {**({} if clean else os.environ), **environment}
    done = subprocess.run(
        command, env=surroundings, capture_output=True, stdin=subprocess.DEVNULL, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def hashes(folder: Path) -> Mapping[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in OUTPUTS
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_hostile_variables_change_no_byte(workplace: Path) -> None:
    """A training with two threads, and a stage that draws."""
    edit("threads: 1", "threads: 2")
    Path("stages/draw.py").write_text(DRAW)
    stages = (("train.py", "model1-dropout"), ("draw.py",))
    # What `import` and matplotlib would find first.
    for package in ("torch", "numpy", "yaml", "cifar_tricks"):
        (workplace / "shadow" / package).mkdir(parents=True)
        (workplace / "shadow" / package / "__init__.py").write_text("raise SystemExit('shadow')")
    (workplace / "rc").mkdir()
    for folder in (workplace, workplace / "rc"):
        (folder / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    results = []
    for surroundings in ({}, HOSTILE):
        for name in OUTPUTS:
            shutil.rmtree(name, ignore_errors=True)
        for script, *arguments in stages:
            done = run(sys.executable, f"stages/{script}", *arguments, **surroundings)
            assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
        results.append(hashes(workplace))
    assert len(results[0]) == 4 and results[0] == results[1]
    entries = {path.name for path in workplace.iterdir()}
    assert not entries & {"stray", "~", "nonexistent", "fontlist.json"}
    assert {path.name for path in (workplace / "rc").iterdir()} == {"matplotlibrc"}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_place_decides_about_every_hostile_variable(name: str) -> None:
    assert any(variables.fits(name, rule.names) for rule in variables.RULES), "no rule"
    one = settled({name: HOSTILE[name], "PATH": "/bin"}, ROOT, stage=True)
    changed = one.get(name) != HOSTILE[name]
    kind = variables.action(name)
    assert changed == (kind in ("cleared", "set", "checked")), kind
    assert settled(one, ROOT, stage=True) == one, "settled is settled"
    assert settled({}, ROOT, stage=True).keys() <= one.keys() | {name}


def test_variables_that_make_sense_are_left_alone(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    sensible = {
        "AWS_PROFILE": "x",
        "DVC_EXP_NAME": "brave-cat",
        "DVC_ROOT": str(tmp_path),
        "GIT_CONFIG_COUNT": "0",
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://proxy:3128",
        "LOGNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "x",
        "MLFLOW_TRACKING_URI": "http://host:5000",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(tmp_path),
        "XDG_CACHE_HOME": "/cache",
    }
    one = settled(sensible, copy, stage=True)
    assert sensible.items() <= one.items()
    assert one["MPLCONFIGDIR"] == str(tmp_path / ".dvc/tmp/matplotlib"), "not in the copy"
    door = settled(sensible, tmp_path, stage=False)
    assert sensible.keys() - door.keys() == {"DVC_EXP_NAME", "DVC_ROOT"}, "an outer experiment's"
    assert door["PYTHONPATH"] == str(SOURCE)


def test_what_rounds_otherwise_is_told(workplace: Path) -> None:
    training = (sys.executable, "stages/train.py", "model1-baseline")
    done = run(*training, ONEDNN_MAX_CPU_ISA="AVX2")
    assert "note: ONEDNN_MAX_CPU_ISA=AVX2 may round sums otherwise" in done.stdout
    kept = {n: v for n, v in os.environ.items() if variables.action(n) != "told"}
    assert "note:" not in run(*training, clean=True, **kept).stdout


def test_the_document_has_the_table() -> None:
    text = (ROOT / "docs/decisions/environment.md").read_text("utf-8")
    assert variables.rules_table() in text, "python -m cifar_tricks.base.variables prints it"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real DVC repository with this package and one stage; the current folder."""
    folder = tmp_path / "a project ö"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name in ("DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    link_code(folder)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    stage = f"stages: {{check: {{cmd: '\"{sys.executable}\" stages/check.py', outs: [data]}}}}\n"
    Path("dvc.yaml").write_text(stage)
    run("git", "init", "--quiet")
    run(*DVC, "init", "--quiet")
    return folder


DOOR = (sys.executable, "-m", "cifar_tricks")


def user_without_a_name() -> list[str]:
    """A command that runs another as a user whom passwd does not know."""
    command = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces here")
    return command


def test_a_user_without_a_name_or_a_home(project: Path) -> None:
    kept = ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME")
    environment = {name: value for name, value in os.environ.items() if name not in kept}
    environment["PYTHONPATH"] = "src"
    anyone = user_without_a_name()
    script = (
        "from cifar_tricks.base.surroundings import settle; settle()\n"
        "import getpass, pathlib, subprocess, sys, torch, mlflow, matplotlib\n"
        "print(getpass.getuser(), pathlib.Path.home())\n"
        "sys.exit(subprocess.call([sys.executable, '-m', 'dvc', 'repro']))\n"
    )
    Path("script.py").write_text(script)
    done = run(*anyone, sys.executable, "script.py", clean=True, **environment)
    assert done.stdout.startswith(f"uid-54321 {project}/.dvc/tmp/home\n"), done.stdout
    assert Path("data/params.valid").exists()
    done = run(*anyone, *DOOR, "verify", clean=True, **environment)
    assert "Traceback" not in done.stdout + done.stderr
    # Plain DVC wants both named; its stages do without.
    Path("data/params.valid").unlink()
    named = environment | {"USER": "me", "HOME": str(project.parent)}
    run(*anyone, *DVC, "repro", clean=True, **named)
    assert not Path("~").exists()


def test_a_checkout_of_another_user_is_told_with_gits_remedy(project: Path) -> None:
    # With it git takes every folder for somebody else's.
    other = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "PYTHONPATH": "src"}
    done = run(*DOOR, "verify", code=2, **other)
    (line,) = done.stderr.splitlines()
    start = f"error: {project} belongs to another user, so git refuses it; to trust it: "
    remedy = f"git config --global --add safe.directory '{project}'"
    assert line == start + remedy
    home = {"HOME": str(project.parent), "XDG_CONFIG_HOME": str(project.parent)}
    run("sh", "-c", line.removeprefix(start), **home)
    run(*DOOR, "verify", **other, **home)


KILL = "import os; os.kill(os.getpid(), 9)"
CLAIM = (
    "import os, sys; sys.path.insert(0, 'src')\n"
    "from pathlib import Path\n"
    "from cifar_tricks.runs.seed import sole_writer\n"
    "with sole_writer(Path('resume/a training')):\n"
    "    os.kill(os.getpid(), 9)\n"
)


@pytest.mark.parametrize("how", ["through DVC, read", "through DVC, on a terminal", "itself"])
def test_a_killed_training_is_told_as_such(
    project: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    Path("train.py").write_text(CLAIM)
    Path("dvc.yaml").write_text(f"stages: {{train: {{cmd: '\"{sys.executable}\" train.py'}}}}\n")
    command = [sys.executable, "-c", KILL] if how == "itself" else [*DVC, "repro"]
    with running_alone("make repro") as commands:
        assert commands.run(command, lines=how != "through DVC, on a terminal") != 0
    output = capfd.readouterr().err
    assert output.count("error: a training was killed, most likely because memory ran out") == 1
    assert "make repro JOBS=1 goes on from the last state" in output


def test_a_training_that_fails_or_an_old_claim_is_not_told_as_killed(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-c", CLAIM])
    (holder,) = Path("resume/.locks").glob("*.pid")
    os.utime(holder, (1, 1))
    Path("dvc.yaml").write_text("stages: {train: {cmd: exit 3}}\n")
    for lines in (True, False):
        with running_alone("make repro") as commands:
            assert commands.run([*DVC, "repro"], lines=lines) == 255
    assert "killed" not in capfd.readouterr().err


def interpreters() -> dict[str, str]:
    """Every Python from 3.11 that runs here, by version."""
    names = [f"python3.{minor}" for minor in range(11, 16)]
    paths = [sys.executable, *filter(None, map(shutil.which, names))]
    paths += map(str, Path.home().glob(".pyenv/versions/*/bin/python"))
    script = "import sys; print(sys.version_info >= (3, 11), sys.version.split()[0])"
    found = {}
    for path in paths:
        done = subprocess.run([path, "-c", script], capture_output=True, text=True)
        new, _, version = done.stdout.strip().partition(" ")
        if new == "True":
            found[version] = path
    return found


def test_a_process_ends_without_a_search_of_what_it_imported() -> None:
    program = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "from cifar_tricks.base.surroundings import settle; settle()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment, text=True) == "True\n"


def test_every_python_writes_the_committed_gzip() -> None:
    # Only this one has the packages.
    script = (
        "import sys, types; sys.modules.setdefault('psutil', types.ModuleType('psutil'))\n"
        "sys.path.insert(0, sys.argv[1]); from cifar_tricks.base.files import gzipped\n"
        "sys.stdout.buffer.write(gzipped(sys.stdin.buffer.read()))"
    )
    committed = (ROOT / "reports/quick/predictions.csv.gz").read_bytes()
    content = gzip.decompress(committed)
    for version, python in interpreters().items():
        command = [python, "-c", script, str(ROOT / "src")]
        done = subprocess.run(command, input=content, capture_output=True, check=True)
        assert done.stdout == committed, version


@pytest.mark.parametrize("data", [b"", b"a", b"ab" * 100_000])
def test_what_is_gzipped_can_be_read(data: bytes) -> None:
    assert gzip.decompress(files.gzipped(data)) == data
