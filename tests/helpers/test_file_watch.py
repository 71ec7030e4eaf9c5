"""The watch itself: it sees what is written outside, also by a child and for a moment."""

import sys
from pathlib import Path

from helpers.file_watch import Watch, can_trace


def test_it_sees_what_is_written_outside(tmp_path: Path) -> None:
    project, place = tmp_path / "a projäct", tmp_path / "place"
    project.mkdir()
    place.mkdir()
    (tmp_path / "neighbour").write_text("before")
    watch = Watch(project, place)
    inside = "open('file', 'w').close(); import os; os.mkdir('ö'); os.rename('file', 'ö/file')"
    assert watch.run(sys.executable, "-c", inside).returncode == 0
    assert watch.outside() == []

    script = (
        "cat /dev/null >/dev/null; echo x >../stray; rm ../stray; echo longer >../neighbour;"
        "mkdir -p ~/.cache/declared ~/.config; touch ~/.cache/declared/x; mktemp >/dev/null"
    )
    assert watch.run("sh", "-c", script).returncode == 0
    (left,) = watch.temporary.iterdir()
    expected = {watch.home / ".config", left, tmp_path / "neighbour", watch.home / ".cache"}
    seen = set(watch.outside(watch.home / ".cache/declared"))
    assert seen == expected | ({tmp_path / "stray"} if can_trace() else set())
