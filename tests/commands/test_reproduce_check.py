"""`make reproduce-check` sees every byte of every output; `make verify` on a small repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_tricks.__main__ import run
from cifar_tricks.commands import reproduce_check
from cifar_tricks.commands.reproduce_check import differing_files, output_hashes

STAGES = """\
stages:
  one:
    cmd: mkdir -p folder && echo one > folder/a && echo two > folder/b && echo three > c
    outs: [folder]
    metrics:
      - c:
          cache: false
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two outputs, one of them a folder."""
    monkeypatch.chdir(tmp_path)
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
        subprocess.run(command, check=True)
    return tmp_path


def test_every_file_of_every_output_is_compared(repository: Path) -> None:
    before = output_hashes(repository)
    assert set(before) == {"dvc.lock", "folder/a", "folder/b", "c"}
    (repository / "folder/b").write_text("tvo\n")
    (repository / "folder/d").write_text("more\n")
    (repository / "c").unlink()
    assert differing_files(before, output_hashes(repository)) == ["c", "folder/b", "folder/d"]
    assert differing_files(before, before) == []


def test_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    first = {"dvc.lock": "1", "a": "2"}
    assert reproduce_check._tell(first, first, {"dvc.lock": "1"}) == 0
    assert capsys.readouterr().out == (
        "2 files compared, 0 differ\ndvc.lock is the committed one\n"
    )
    assert reproduce_check._tell(first, first | {"a": "3"}, {"dvc.lock": "9"}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["differs: a", "2 files compared, 1 differ"]
    assert lines[2].startswith("dvc.lock is not the committed one")


def test_mistakes_are_one_line(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["reproduce-check", "--keep", str(repository)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --keep {repository}: it is there already")
    # A clone in which make repro fails.
    subprocess.run(["git", "add", "-A"], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "one"], check=True)
    assert run(["reproduce-check"]) == 2
    assert "make repro ended with code" in capsys.readouterr().err
    # The project in a folder of a larger repository: the clone's is named.
    (repository / ".git").rename(repository / "git")
    shutil.rmtree(repository / "git")
    larger = repository.rename(repository.with_name("larger"))
    (larger / "ä project").mkdir()
    for path in larger.iterdir():
        if path.name != "ä project":
            path.rename(larger / "ä project" / path.name)
    monkeypatch.chdir(larger / "ä project")
    for command in (["git", "init", "-q", ".."], ["git", "add", "-A"]):
        subprocess.run(command, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "one"], check=True)
    assert run(["reproduce-check"]) == 2
    told = capsys.readouterr().err
    assert "make repro ended with code" in told and "/first/ä project" in told
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.yaml"], check=True)
    assert run(["reproduce-check"]) == 2
    assert capsys.readouterr().err.startswith("error: git ls-files: error: pathspec 'dvc.yaml'")
    monkeypatch.chdir(repository.parent)
    assert run(["reproduce-check"]) == 2
    assert capsys.readouterr().err.startswith("error: git ")


@pytest.mark.fault("damage", tried=3)
def test_verify_on_a_repository_of_any_kind(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def verify(*options: str) -> tuple[int, str]:
        code = run(["verify", *options])
        output, errors = capfd.readouterr()
        assert errors == ""
        return code, output

    capfd.readouterr()

    assert verify()[0] == 0
    (repository / "folder/a").write_text("eno\n")
    code, output = verify()
    assert code == 1 and output.startswith("folder/a: not the file that dvc.lock names; restore it")
    assert verify("--repair")[0] == 1
    assert (repository / "folder/a").read_text() == "one\n" and verify()[0] == 0
    # What DVC does not keep can only be made again.
    (repository / "c").write_text("eerht\n")
    assert verify()[1].startswith(
        "c: not the file that dvc.lock names; rm c && dvc repro --single-item one\n"
    )
    (repository / "c").write_text("three\n")
    for name in ("folder/a", "folder/b"):
        (repository / name).unlink()
    assert verify()[1].startswith("folder/a: not the file that dvc.lock names; restore it with: ")
    # A fresh clone has no list of the folder's files: then the folder as a whole is compared.
    (repository / "folder/a").write_text("one\n")
    (repository / "folder/b").write_text("two\n")
    for path in (repository / ".dvc/cache").rglob("*.dir"):
        path.unlink()
    assert verify()[0] == 0
    (repository / "folder/a").write_text("eno\n")
    assert verify()[1].startswith("folder: not the folder that dvc.lock names; git checkout")
