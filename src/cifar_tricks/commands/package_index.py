"""Where packages come from: uv looks where pip's settings say; PyTorch, by choice, without CUDA."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

FOR_CUDA = re.compile(r"(torch|torchvision|triton|cuda|nvidia)(?=[-=])")
# uv's variable for each setting of pip, and what stands between several values there.
UV_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", ""),
    "cert": ("SSL_CERT_FILE", ""),
    "proxy": ("ALL_PROXY", ""),
}
# Whoever set one of these has told uv himself where to look.
UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX")


def uv_environment(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment in which uv looks where pip does.

    Args:
        environment: the user's; where it or uv's own file names an index, that one stays.
        settings: of pip, by name.
    """
    told = any(environment.get(name) for name in UV_INDEXES) or any(
        "index" in file.read_text(errors="replace") for file in _uv_files(environment)
    )
    added = {
        variable: separator.join(settings[name].split()) if separator else settings[name]
        for name, (variable, separator) in UV_VARIABLES.items()
        if settings.get(name) and not environment.get(variable)
        if not (told and variable in UV_INDEXES)
    }
    # Like pip: whichever index has the pinned file.
    strategy = {"UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in added else {}
    return {**environment, **strategy, **added}


def _uv_files(environment: Mapping[str, str]) -> list[Path]:
    own = environment.get("XDG_CONFIG_HOME") or environment.get("HOME", "") + "/.config"
    files = [environment.get("UV_CONFIG_FILE", ""), f"{own}/uv/uv.toml", "/etc/uv/uv.toml"]
    return [path for path in map(Path, files) if path.is_file()]


def pip_settings(python: Path) -> dict[str, str]:
    """What pip's files and variables say about an installation, by the setting's name.

    Args:
        python: an interpreter with pip.
    """
    command = [str(python), "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the strongest last
        for name, _, value in lines:
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def split_lock(text: str) -> tuple[str, list[str]]:
    """Takes PyTorch and what it needs of CUDA out of a lock.

    Args:
        text: of requirements.lock.

    Returns:
        The rest, and the pins of torch and torchvision, without hashes.
    """
    blocks = re.split(r"^(?=[a-zA-Z])", text, flags=re.MULTILINE)
    rest = "".join(block for block in blocks if not FOR_CUDA.match(block))
    return rest, [block.split()[0] for block in blocks if re.match("torch(vision)?=", block)]
