"""Where DVC cannot keep what the study makes: told before any work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import is_temporary_copy, project_root

OUTPUTS = ("data", "runs", "reports")


def check_place() -> None:
    """Whether DVC can keep the outputs, and the commits of an experiment.

    Raises:
        UserError: it cannot.
    """
    for name in OUTPUTS:
        if Path(name).is_symlink():
            raise UserError(
                f"{name} is a link, and DVC keeps nothing behind a link: make it a folder; what "
                "takes room can lie on another disk all the same: dvc cache dir --local "
                "/disk/cache && dvc config --local cache.type symlink"
            )
    # Git's copy of a shallow clone cannot give its commits back: the experiment would be lost.
    if is_temporary_copy() and _is_shallow(project_root()):
        raise UserError(
            "this clone is shallow, and DVC loses an experiment that runs in a copy of it: "
            "git fetch --unshallow, or run it without --temp and --queue"
        )


def _is_shallow(checkout: Path) -> bool:
    command = ["git", "-C", str(checkout), "rev-parse", "--is-shallow-repository"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() == "true"
