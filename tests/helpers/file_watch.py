"""What a command writes outside of its folder: a home of its own, and strace where there is one."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Not files that anybody keeps.
DEVICES = ("/dev/", "/proc/", "/sys/")
CALLS = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
_READS = re.compile(r"\bO_RDONLY\b(?!.*\bO_(?:CREAT|TRUNC)\b)")
# The folder that a relative name is in, where strace knows it, and the name.
_NAME = re.compile(r'(?:<([^<>]*)>, )?"((?:[^"\\]|\\.)*)"')


class Watch:
    """Runs commands of a project in a home and a temporary folder that were empty before.

    Args:
        project: the folder that may be written.
        place: an empty folder outside of it.
    """

    def __init__(self, project: Path, place: Path) -> None:
        self.project, self.place = project.resolve(), place.resolve()
        self.home, self.temporary = self.place / "home", self.place / "tmp"
        for folder in (self.home, self.temporary):
            folder.mkdir()
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("XDG_", "TMP", "TEMP"))}
        self.environment = kept | {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        self._number = 0
        self._written: set[Path] = set()
        # Its neighbours too, where a path that is joined wrongly would end.
        self._before = dict(self._files())

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project's folder, its output as text; ``more``: variables."""
        log = self.place / f"strace-{self._number}"
        self._number += 1
        traced = ["strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", f"trace={CALLS}"]
        traced += ["-e", "signal=none", "-s", "4096", "-o", str(log)]
        done = subprocess.run(
            [*(traced if can_trace() else ()), *command],
            cwd=self.project,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if log.exists():
            self._written |= set(_written(log, self.project))
            log.unlink()
        return done

    def outside(self, *allowed: Path) -> list[Path]:
        """What was written outside of the project, in alphabetical order.

        Files in the temporary folder count only if they were left there. Without strace, only what
        lies in the home, the temporary folder and the project's parent is seen.

        Args:
            allowed: folders of declared caches.
        """
        left = {path for path, state in self._files() if self._before.get(path) != state}
        gone = self._before.keys() - {path for path, _ in self._files()}
        inside = (self.project, *(path.resolve() for path in allowed))
        written = {path for path in self._written if not path.is_relative_to(self.temporary)}
        return sorted(
            path
            for path in left | gone | written
            if not any(path.is_relative_to(folder) for folder in inside)
        )

    def _files(self) -> Iterator[tuple[Path, tuple[int, int, int]]]:
        for top in (self.home, self.temporary, self.project.parent):
            for folder, names, files in os.walk(top):
                here = Path(folder)
                own = [here / name for name in names if here / name in (self.project, self.place)]
                names[:] = [name for name in names if here / name not in own]
                for name in (*names, *files):
                    state = (here / name).lstat()
                    changed = 0 if name in names else state.st_mtime_ns
                    yield here / name, (state.st_ino, state.st_size * bool(changed), changed)


@cache
def can_trace() -> bool:
    """Whether strace is installed and this process may use it."""
    options = ("-f", "-y", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", os.devnull)
    command = ["strace", *options, "true"]
    return shutil.which("strace") is not None and subprocess.run(command).returncode == 0


def _written(log: Path, cwd: Path) -> Iterator[Path]:
    """The paths of the calls that succeeded; of a relative one without a folder, ``cwd``'s."""
    for line in log.read_text(errors="replace").splitlines():
        call, _, result = line.partition(" ")[2].rpartition(" = ")
        if result.startswith("-1") or (call.lstrip().startswith("open") and _READS.search(call)):
            continue
        for folder, name in _NAME.findall(call):
            path = Path(os.path.normpath(cwd / _text(folder) / _text(name)))
            if not str(path).startswith(DEVICES):
                yield path


def _text(shown: str) -> str:
    """A name as it is: strace writes bytes that are not ASCII as octal numbers."""
    return os.fsdecode(shown.encode().decode("unicode_escape").encode("latin-1"))
