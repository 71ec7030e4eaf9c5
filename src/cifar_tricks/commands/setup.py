"""``make setup``: the project's own Python environment in ``.venv``, made, checked and renewed.

    python -m cifar_tricks setup [--dev] [--torch cpu]

It needs nothing but Python, and installs what the locks pin, checked against their hashes. The
environment stays usable where the project's folder is moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.package_index import UV_INDEXES, pip_settings, split_lock, uv_environment

ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
UV_PIP = (str(PYTHON), "-m", "uv", "pip")
STAMP = VENV / "installed"
BOOTSTRAP, LOCK, DEV_LOCK = (f"requirements{kind}.lock" for kind in ("-bootstrap", "", "-dev"))
# Groups of pyproject.toml that most do without, each with a lock of its own.
EXTRAS = {name: f"requirements-{name}.lock" for name in ("postgres", "ray", "s3", "s3-server")}
# Into an environment whose pyvenv.cfg has this line uv writes scripts without absolute paths.
RELOCATABLE = "relocatable = true\n"
_RESTARTED = "CIFAR_TRICKS_RESTARTED"


def set_up(dev: bool, torch: str, torch_index: str, extras: str = "") -> int:
    """Makes ``.venv`` what the locks say; quick where it is.

    Args:
        dev: with what tests and linting need too; what has them keeps them.
        extras: optional parts, separated by spaces: keys of EXTRAS; likewise kept.
        torch: cpu for PyTorch without CUDA, lock for the one that requirements.lock pins; "" for
            the kind that is there, at first the latter.
        torch_index: where the builds without CUDA are.

    Returns:
        The exit code.

    Raises:
        UserError: the environment cannot be made; pip's or uv's own lines say more.
    """
    if not (ROOT / LOCK).is_file():
        raise UserError("setup works in a clone of the project; an installed package has no locks")
    if torch not in ("", "cpu", "lock"):
        raise UserError(f"TORCH = {torch}: valid: cpu, lock")
    for name in extras.split():
        if name not in EXTRAS:
            raise UserError(f"EXTRAS = {name}: valid: {', '.join(EXTRAS)}")
    sound = is_sound()
    if not sound:
        _make()
    if not sound or not _is_own_interpreter():
        options = ["--torch", torch, "--torch-index", torch_index, *(["--dev"] if dev else [])]
        options += ["--extras", extras]
        command = [str(PYTHON), "-m", "cifar_tricks", "setup", *options]
        return subprocess.run(command, env=_environment()).returncode
    stamp = _read_stamp()
    kind = torch or stamp.get("torch", "lock")
    asked = [EXTRAS[name] for name in extras.split()] + [DEV_LOCK] * dev
    kept = {*asked, *stamp.get("locks", {})}
    locks = [BOOTSTRAP, LOCK, *(name for name in (DEV_LOCK, *EXTRAS.values()) if name in kept)]
    wanted = {
        "place": str(VENV),
        "platform": sysconfig.get_platform(),
        "torch": kind,
        "project": _hash("pyproject.toml"),
        "locks": {name: _hash(name) for name in locks},
    }
    if stamp != wanted:
        if stamp.get("place") != str(VENV):
            _write_scripts("--without-pip")
        if stamp | {"place": str(VENV)} != wanted:
            STAMP.unlink(missing_ok=True)
            cpu = kind == "cpu" and sys.platform == "linux"
            _install(locks, without_cuda=cpu, index=torch_index, anew=kind != stamp.get("torch"))
        # uv builds it itself; it asks no index.
        editable = ["install", "--quiet", "--no-deps", "--editable", str(ROOT)]
        _run([*UV_PIP, *editable], _environment())
        STAMP.write_text(json.dumps(wanted, indent=1) + "\n")
    return 0


def is_sound() -> bool:
    """Whether ``.venv`` was made by `set_up` and its interpreter runs: it may be gone, or another
    version may stand in its place."""
    try:
        if not _is_relocatable():
            return False
        if not all(link.exists() for link in PYTHON.parent.glob("python*")):
            return False
        if _is_own_interpreter():
            return Path(sysconfig.get_path("purelib"), "pip").exists()
        command = [str(PYTHON), "-c", "import pip"]
        return subprocess.run(command, env=_environment(), capture_output=True).returncode == 0
    except OSError:
        return False


def _is_relocatable() -> bool:
    configuration = VENV / "pyvenv.cfg"
    return configuration.exists() and RELOCATABLE in configuration.read_text()


def use_own_interpreter() -> None:
    """Makes this process, and what it starts, independent of the interpreter and shell around it.

    Where there is a ``.venv``, its interpreter goes on; elsewhere, as in a container or a notebook,
    the running one. DVC starts stages with the SHELL of the environment, which may set another
    PATH or refuse to run anything, and with the ``python`` on PATH.
    """
    restarted = os.environ.pop(_RESTARTED, "")
    if os.access(PYTHON, os.X_OK) and not _is_own_interpreter() and not restarted:
        command = [str(PYTHON), "-m", "cifar_tricks", *sys.argv[1:]]
        os.execve(PYTHON, command, _environment() | {_RESTARTED: "1"})
    paths = [str(Path(sys.executable).parent), *os.environ.get("PATH", os.defpath).split(":")]
    os.environ |= {"SHELL": "/bin/sh", "PATH": ":".join(dict.fromkeys(paths))}


def _is_own_interpreter() -> bool:
    return VENV.exists() and VENV.samefile(sys.prefix)


def _read_stamp() -> dict[str, Any]:
    try:
        stamp = json.loads(STAMP.read_bytes())
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def _hash(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "VIRTUAL_ENV": str(VENV)}


def _make() -> None:
    if VENV.exists() and any(VENV.iterdir()) and not (VENV / "pyvenv.cfg").exists():
        raise UserError(f"{VENV} is no Python environment: move it away")
    packages = VENV / f"lib/python{sysconfig.get_python_version()}/site-packages"
    if _is_relocatable() and (packages / "pip").exists():
        # Only the interpreter went, as after an upgrade of the system's: another of its version.
        for link in (VENV / "bin").glob("python*"):
            link.unlink()
        _write_scripts("--without-pip")
        return
    print("making .venv ...", flush=True)
    _write_scripts("--clear")
    command = ["pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run([str(PYTHON), "-m", *command, "-r", str(ROOT / BOOTSTRAP)], _environment())


def _write_scripts(option: str) -> None:
    """Python's part of the environment: its links, `activate`, pyvenv.cfg."""
    base = getattr(sys, "_base_executable", sys.executable)
    _run([base, "-m", "venv", option, str(VENV)], _environment())
    with (VENV / "pyvenv.cfg").open("a") as file:
        file.write(RELOCATABLE)


def _install(locks: list[str], *, without_cuda: bool, index: str, anew: bool) -> None:
    print("installing what the locks pin ...", flush=True)
    environment = uv_environment(_environment(), pip_settings(PYTHON))
    # pip's scripts were written by itself, with absolute paths; and of PyTorch, to uv the build
    # without CUDA is as good as the pinned one.
    sync = [*UV_PIP, "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
    for name in ("pip", *(("torch", "torchvision") if anew else ())):
        sync += ["--reinstall-package", name]
    with tempfile.TemporaryDirectory() as folder:
        paths = [ROOT / name for name in locks]
        rest, left_out = split_lock((ROOT / LOCK).read_text())
        if without_cuda:
            paths[locks.index(LOCK)] = Path(folder, LOCK)
            Path(folder, LOCK).write_text(rest)
        _run([*sync, *map(str, paths)], environment)
    if without_cuda:
        # Their hashes are those that the index states.
        torch = [*UV_PIP, "install", "--quiet", "--no-deps", "--compile-bytecode", *left_out]
        _run([*torch, "--default-index", index], {**environment, "UV_DEFAULT_INDEX": index})


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    try:
        code = subprocess.run(command, env=environment, cwd=ROOT).returncode
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error.strerror}") from error
    if code < 0:
        raise UserError(f"{command[2]} was ended by signal {-code}")
    if code == 0:
        return
    what = "make setup: " + " ".join(command[2:5])
    places = [f"{name}={environment[name]}" for name in UV_INDEXES if environment.get(name)]
    if "uv" not in command:
        hint = "; pip's settings: pip config list" if "pip" in command else ""
    elif places:
        asked = re.sub(r"//[^/@\s]*@", "//***@", ", ".join(places))  # no password on a screen
        hint = f"; it asked {asked}"
    else:
        hint = "; it asked the public index; UV_DEFAULT_INDEX=... names a mirror"
    raise UserError(f"{what} failed, its own lines above say why{hint}")
