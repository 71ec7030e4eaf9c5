"""What GitHub reads: the workflows' own scripts run here; templates and citation say what holds."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers.project import ROOT
from ruamel.yaml import YAML

from cifar_tricks.__main__ import COMMANDS
from cifar_tricks.commands.review import changed_records

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(path))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


def script(path: Path, text: str) -> str:
    """The step that holds a text, as the runner's shell gets it."""
    (found,) = (step["run"] for step in steps(path) if text in step.get("run", ""))
    return str(found)


def shell(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_what_a_workflow_calls_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        called = step.get("run", "")
        assert set(re.findall(r"^make (\S+)", called, re.MULTILINE)) <= targets
        assert set(re.findall(r"-m cifar_tricks (\S+)", called)) <= set(COMMANDS)
        # What others choose reaches a shell through the environment only.
        assert "${{" not in called
    assert path.read_text().count(" # v") == sum("uses" in step for step in steps(path))


def test_only_what_runs_no_code_of_others_may_write() -> None:
    for path in WORKFLOWS:
        workflow = load(path)
        if "write" in workflow["permissions"].values():
            assert [*workflow["on"]] == ["workflow_run"]
            assert not any("checkout" in step.get("uses", "") for step in steps(path))
        else:
            assert workflow["permissions"] == {"contents": "read"}
            assert "pull_request_target" not in workflow["on"]
        assert not any("permissions" in job for job in workflow["jobs"].values())


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_pull_request_brings_its_records_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, runner = tmp_path / "origin", tmp_path / "runner"
    (origin / "records/full/a").mkdir(parents=True)
    (origin / "src").mkdir()
    for name in ("records/full/a/seed=0.json", "records/full/a/seed=1.json", "src/code.py"):
        (origin / name).write_text("before")
    git(origin, "init", "-b", "main")
    git(origin, "add", ".")
    git(origin, "commit", "-m", "before")
    git(tmp_path, "clone", "--depth=1", f"file://{origin}", "runner")
    git(origin, "checkout", "-b", "theirs")
    (origin / "records/full/a/seed=0.json").unlink()
    (origin / "records/full/a/seed=1.json").write_text("after")
    (origin / "records/full/a/seed=2.json").write_text("after")
    (origin / "src/code.py").write_text("after")
    git(origin, "add", ".")
    git(origin, "commit", "-m", "after")
    head = git(origin, "rev-parse", "HEAD")
    git(origin, "update-ref", "refs/pull/7/head", head)
    take = script(ROOT / ".github/workflows/records.yml", "git restore")
    done = shell(take, runner, NUMBER="7", HEAD=head)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(runner)
    names = [path.as_posix() for path in changed_records("HEAD")]
    assert names == [f"records/full/a/seed={seed}.json" for seed in (0, 1, 2)]
    assert Path("src/code.py").read_text() == "before"
    # It was pushed to in between: what was approved is not what would be checked.
    assert shell(take, runner, NUMBER="7", HEAD="0" * 40).returncode != 0


def test_the_comment_goes_to_the_pull_request_of_the_commit(tmp_path: Path) -> None:
    """With a stand-in for GitHub's `gh` that notes how it is called."""
    (tmp_path / "comment").mkdir()
    (tmp_path / "comment/comment.md").write_text("| a $(touch no) | `b` |\n" * 9000)
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*" >>calls\ncase $1 in api) printf "%s" "$FOUND";; esac\n'
    )
    gh.chmod(0o755)
    post = script(ROOT / ".github/workflows/records-comment.yml", "gh pr comment")
    given = {
        "PATH": f"{gh.parent}:{os.environ['PATH']}",
        "GH_REPO": "us/cifar",
        "SHA": "a" * 40,
        "HEAD": "them:branch;touch no",
        "RUN": "https://example.org/run",
    }
    assert shell(post, tmp_path, **given, FOUND="").returncode == 0
    assert shell(post, tmp_path, **given, FOUND="7").returncode == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == calls[1] and "-f head=them:branch;touch no" in calls[0]
    assert calls[2] == "pr comment 7 --body-file body.md --edit-last --create-if-none"
    body = (tmp_path / "body.md").read_text()
    assert body.startswith("Records, [checked](https://example.org/run)") and len(body) < 65_536
    assert "| a $(touch no) | `b` |" in body and not (tmp_path / "no").exists()


def test_templates_ask_for_what_contributing_and_the_doctor_say() -> None:
    kinds = re.findall(r"^\| (\S.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    template = (ROOT / ".github/pull_request_template.md").read_text()
    assert re.findall(r"^- \[ \] (.+?):", template, re.MULTILINE) == kinds[1:]
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        (asked,) = (field for field in load(path)["body"] if field["id"] == "doctor")
        assert "make doctor" in asked["attributes"]["label"]


def test_citation_and_devcontainer_agree_with_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = load(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make setup-dev"
    assert container["image"].split(":")[1].startswith(project["requires-python"][2:])
