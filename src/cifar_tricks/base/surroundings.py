"""What surrounds a process, made what the study needs.

Nothing that an outer tool, a shell or a cluster sets may redirect files, break a run or change a
result without a word. :func:`settle` sees to it, in the one door and in every stage, before
PyTorch, MLflow or matplotlib are imported.
"""

from __future__ import annotations

import atexit
import gc
import locale
import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.variables import OF_A_STAGE, TEMPORARY, THREADS, action

SOURCE = Path(__file__).resolve().parents[2]
WHO = ("LOGNAME", "USER", "LNAME", "USERNAME")  # in the order in which getpass asks


def settle(*, stage: bool = False) -> None:
    """Makes the variables of this process what they should be, for itself and its children.

    Where Python has read one already that has to change, the process starts itself again.

    Args:
        stage: whether DVC started this process for a stage.

    Raises:
        UserError: the current folder is gone.
    """
    try:
        root = Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was deleted: cd to the project's") from error
    wanted = settled(os.environ, root, stage=stage)
    late = {name for name in os.environ if name.startswith("PYTHON")}
    if locale.getencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        late.add("PYTHONUTF8")
    if any(wanted.get(name) != os.environ.get(name) for name in late):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    # Python searches all that was imported for unused memory, again and again and at the end: a
    # third of a short process that imports PyTorch.
    gc.set_threshold(10_000, *gc.get_threshold()[1:])
    atexit.register(_search_no_more)


def _search_no_more() -> None:
    if "triton" not in sys.modules:  # which reports what is left then as a leak
        gc.freeze()


def tell_rounding() -> None:
    """Names what is set here that rounds sums otherwise; for a process that trains."""
    for name, value in sorted(os.environ.items()):
        if action(name) == "told":
            print(f"note: {name}={value} may round sums otherwise than without it", flush=True)


def settled(environ: Mapping[str, str], root: Path, *, stage: bool) -> dict[str, str]:
    """The variables as they should be.

    Args:
        environ: as they are.
        root: of this checkout.
        stage: whether DVC started this process for a stage.
    """
    kept = {name: value for name, value in environ.items() if action(name) != "cleared"}
    for name in OF_A_STAGE if not stage else ():
        kept.pop(name, None)
    main = _main_checkout(kept.pop("DVC_ROOT", ""), root)
    if stage and main is not None:
        kept["DVC_ROOT"] = str(main)
    for name, value in list(kept.items()):
        temporary = name in TEMPORARY and not _may_enter(Path(value))
        if temporary or (name.startswith("XDG_") and not Path(value).is_absolute()):
            del kept[name]
    folder = (main or root) / ".dvc/tmp"
    return {
        **kept,
        **_account(kept, folder / "home"),
        "PYTHONPATH": str(SOURCE),
        "PYTHONUTF8": "1",
        **dict.fromkeys(THREADS, "1"),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_SITE_CACHE_DIR": str(folder / "site-cache"),
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "torchinductor"),
    }


def _main_checkout(given: str, root: Path) -> Path | None:
    """DVC_ROOT, if this checkout is the one there or DVC's temporary copy of it."""
    main = Path(given).resolve()
    is_copy = root.is_relative_to(main / ".dvc/tmp")
    return main if given and (main == root or is_copy) else None


def _account(environ: Mapping[str, str], spare_home: Path) -> dict[str, str]:
    """A home and a name, which a container's user without an entry in passwd may not have."""
    try:
        entry = pwd.getpwuid(os.getuid())
        name, homes = entry.pw_name, [entry.pw_dir]
    except KeyError:
        name, homes = f"uid-{os.getuid()}", []
    homes = [home for home in (environ.get("HOME", ""), *homes) if _may_enter(Path(home))]
    account = {"HOME": homes[0] if homes else str(spare_home)}
    if not any(environ.get(one) for one in WHO):
        account |= {"USER": name, "LOGNAME": name}
    return account


def _may_enter(folder: Path) -> bool:
    return folder.is_absolute() and os.access(folder / ".", os.X_OK)


def check_owner(root: Path) -> None:
    """Whether git, and so DVC, may work in this folder.

    Raises:
        UserError: it belongs to somebody else, and git was not told to trust it.
    """
    command = ["git", "-C", str(root), "rev-parse", "--git-dir"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}
        )
    except OSError:  # no git; those who need it say so
        return
    if "dubious ownership" in done.stderr:
        remedy = f"git config --global --add safe.directory {shlex.quote(str(root))}"
        raise UserError(f"{root} belongs to another user, so git refuses it; to trust it: {remedy}")
