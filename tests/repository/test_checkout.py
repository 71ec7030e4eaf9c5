"""A checkout holds the committed bytes, whatever git is told about line ends and file modes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT


def git(*arguments: str, folder: Path = ROOT) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("eol", ["native", "crlf"])
def test_a_clone_with_line_ends_of_windows_has_equal_bytes(tmp_path: Path, eol: str) -> None:
    clone = tmp_path / "clone"
    options = ("-c", "core.autocrlf=true", "-c", f"core.eol={eol}")
    source = tmp_path / "source"
    git("clone", "--quiet", "--no-checkout", str(ROOT), str(source))
    # What is in the working tree, also before it is committed.
    (source / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    git("reset", "--quiet", folder=source)
    git("checkout", "--quiet", "--", ".", ":!.gitattributes", folder=source)
    git("add", ".gitattributes", folder=source)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    git(*who, "commit", "--quiet", "--allow-empty", "--message", "attributes", folder=source)
    git(*options, "clone", "--quiet", str(source), str(clone))
    git("config", "core.autocrlf", "true", folder=clone)
    blobs = {}
    for line in git("ls-files", "--stage", "-z", folder=clone).split("\0")[:-1]:
        about, _, path = line.partition("\t")
        blobs[path] = about.split()[1]
    assert len(blobs) > 500 and "src/cifar_tricks/report/page/write.py" in blobs
    names = "\n".join(blobs)
    hashed = subprocess.run(
        ["git", "-C", str(clone), "hash-object", "--no-filters", "--stdin-paths"],
        input=names,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [p for p, h in zip(blobs, hashed, strict=True) if blobs[p] != h] == []
    assert git("status", "--short", folder=clone) == ""


def test_every_committed_file_is_marked_as_what_it_is() -> None:
    """Binary by name, not by git's guess; no text has a carriage return."""
    for line in git("ls-files", "--eol").splitlines():
        index, _, rest = line.split(None, 2)
        kind = "-text" in rest.split("\t")[0]
        assert index == ("i/-text" if kind else "i/lf") or index == "i/none", line


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_strict_or_an_open_umask_changes_no_hash(tmp_path: Path, umask: int) -> None:
    """DVC's hash is of bytes; it marks no output as executable by its mode."""
    script = (
        "import sys; sys.path.insert(0, 'src')\n"
        "from pathlib import Path\n"
        "from cifar_tricks.base.files import write_atomically\n"
        "write_atomically(Path('out/one'), b'1')\n"
    )
    (tmp_path / "stage.py").write_text(script.replace("'src'", repr(str(ROOT / "src"))))
    stage = f"stages: {{one: {{cmd: '\"{sys.executable}\" stage.py', outs: [out]}}}}\n"
    (tmp_path / "dvc.yaml").write_text(stage)
    dvc = (sys.executable, "-m", "dvc")
    for command in (("git", "init"), (*dvc, "init"), (*dvc, "repro")):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"DVC_NO_ANALYTICS": "1"},
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.umask(umask) and None,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    lock = (tmp_path / "dvc.lock").read_text()
    assert "isexec" not in lock
    assert "md5: 3811fbd940b9cbf8dd6cf70fe2335f5f.dir" in lock, lock
