"""The review of records: those of real trainings, forged, damaged, deleted, trained again."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.workplace import KEY, RECORD, edit

from cifar_tricks.__main__ import run
from cifar_tricks.base.signed_json import signed, to_json
from cifar_tricks.commands.retrain import LARGEST_DIFFERENCE, largest_difference
from cifar_tricks.evaluation import test_images
from cifar_tricks.runs.folders import record_file

Read = Callable[..., tuple[int, str]]


def git(*arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def review(recorded: Path, capsys: pytest.CaptureFixture[str]) -> Read:
    """A checkout with a record of seed 0 that its commit does not have; the command."""
    Path("data/augment.done").touch()
    git("init")
    git("add", "params.yaml")
    git("commit", "-m", "before")

    def read(*options: str) -> tuple[int, str]:
        code = run(["review", "--base", "HEAD", *options])
        told = capsys.readouterr()
        return code, told.out + told.err

    return read


def forge(change: Callable[[dict[str, Any]], None], *, path: Path = RECORD) -> None:
    """Changes a record and signs it again, as anybody can."""
    content = json.loads(path.read_bytes())
    del content["sha256"]
    change(content)
    path.write_bytes(to_json(signed(content)))


def copy(*, scale: str = "quick", key: str = KEY, seed: int = 0) -> None:
    """Puts the record where one of something else belongs, and lets it say that it is."""
    path = record_file(scale, key, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(RECORD.read_bytes())

    def apply(content: dict[str, Any]) -> None:
        content["run"] |= {"scale": scale, "key": key}
        content["run"]["seeds"] = {str(seed): content["run"]["seeds"]["0"]}

    forge(apply, path=path)


def test_a_true_record_is_as_planned_and_trains_to_the_same_weights(review: Read) -> None:
    code, text = review()
    assert code == 0
    assert text.startswith("1 records differ from `HEAD`, 1 of them as planned.\n\n| record |")
    assert re.search(rf"\| `{RECORD}` \| 0\.\d{{4}} \| cpu \(.+\) \| \S+ \| as planned \|", text)
    code, text = review("--train", "--to", "out/comment.md")
    assert code == 0 and "validation loss" in text  # the training's own lines
    comment = Path("out/comment.md").read_text()
    assert f"chosen at random among those that take least: `{RECORD}`" in comment
    assert "+0.0000 | 0.0800 | the same weights |" in comment and "validation loss" not in comment
    assert not list(Path(".dvc/tmp").glob("review-*"))


def test_invented_answers_are_found_by_training_it_again(review: Read) -> None:
    def invent(content: dict[str, Any]) -> None:
        answers = content["answers"]
        answers["predictions"] = "".join(map(str, test_images.test_labels(60).tolist()))
        images = answers["calibration"]["images"]
        answers["calibration"]["right"] = images
        content["run"]["seeds"]["0"]["weights_sha256"] = "0" * 64

    forge(invent)
    assert review()[0] == 0
    code, text = review("--train")
    assert code == 1 and re.search(
        r"\| 1\.0000 \| 0\.\d+ \| -0\.\d+ \| 0\.0800 \| \*\*differs", text
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("run.recipe.batch_size=65", "not what params.yaml plans: recipe.batch\\_size = 65"),
        ("run.data.train='x'", "not what params.yaml plans: data.train = x"),
        ("run.key='model2-adam'", "is damaged"),
        ("answers.predictions='0'", "it contradicts the test images"),
        ("answers.predictions=7", "it contradicts the test images"),
        ("answers.images=5", "test\\_images = 5, here 60"),
        ("history='step\\n'", "is damaged"),
        ("run.seeds={}", "is damaged"),
        ("run=None", "is damaged"),
    ],
)
def test_a_signed_record_of_something_else_is_refused(change: str, said: str, review: Read) -> None:
    place, value = change.split("=", 1)

    def apply(content: dict[str, Any]) -> None:
        *keys, last = place.split(".")
        for key in keys:
            content = content[key]
        content[last] = {"None": None, "{}": {}}.get(value, value.strip("'"))
        if value.isdecimal():
            content[last] = int(value)

    forge(apply)
    code, text = review("--train")
    assert code == 1 and f"refused: {'' if 'dam' not in said else 'records/'}" in text
    assert said in text and "Trained again" not in text and "Traceback" not in text


def test_other_files_under_records_are_refused(review: Read) -> None:
    said = ["does not plan seed 9", "has no scale nosuch", "has no variant model9-adam"]
    said += ["it is no record", "it is no file of a record's size"]
    copy(seed=9)
    copy(scale="nosuch")
    copy(key="model9-adam")
    Path("records/note.md").write_text("![x](http://example.org)")
    Path("records/quick/large.json").write_bytes(b"[" * 2_000_000)
    RECORD.with_name("seed=8.json").symlink_to("/etc/passwd")
    code, text = review()
    assert code == 1 and text.startswith("7 records differ from `HEAD`, 1 of them as planned")
    assert [one for one in said if one not in text] == []
    assert text.count("it is no file of a record's size") == 2


def test_a_deleted_record_is_told(review: Read) -> None:
    git("add", "records")
    git("commit", "-m", "record")
    assert review() == (0, "0 records differ from `HEAD`, 0 of them as planned.\n\n")
    RECORD.unlink()
    code, text = review()
    assert code == 1 and f"| `{RECORD}` |  |  |  | **deleted** |" in text


def test_a_commit_that_is_none_is_one_line(review: Read) -> None:
    for base in ("nosuch", "--output=x"):
        code, text = review(f"--base={base}")
        assert code == 2 and text.startswith("error: git: ") and text.count("\n") == 1
    assert not Path("x").exists()


def test_the_seeds_on_record_say_how_far_a_run_may_be_off() -> None:
    assert largest_difference([]) == largest_difference([0.7]) == LARGEST_DIFFERENCE
    assert largest_difference([0.6, 0.8, 0.7]) == LARGEST_DIFFERENCE
    # Ten seeds: t of 9 degrees of freedom at 99.85% is 4.0243 (tables give 3.69 at 99.75%).
    seeds = [0.70, 0.71] * 5
    spread = 0.005 * (10 / 9) ** 0.5
    assert largest_difference(seeds) == pytest.approx(4.0243 * 2**0.5 * spread, rel=1e-3)


def test_seeds_that_are_no_part_of_the_change_decide(review: Read) -> None:
    edit("seeds: [0]", "seeds: [0, 1, 2, 3]")
    for seed in (1, 2, 3):  # all as right as seed 0
        copy(seed=seed)
    git("add", "params.yaml", *(str(RECORD.with_name(f"seed={seed}.json")) for seed in (1, 2, 3)))
    git("commit", "-m", "records")
    code, text = review("--train")
    assert code == 0 and "1 records differ" in text
    assert "| +0.0000 | 0.0000 | the same weights |" in text
