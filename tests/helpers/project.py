"""The checkout under test."""

import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def link_code(folder: Path) -> None:
    """Puts stages and package into a folder.

    The package is a link: 500 files that one test deletes cost the next one, which makes as many,
    half a second of ext4's search for free inodes.
    """
    shutil.copytree(ROOT / "stages", folder / "stages")
    (folder / "src").symlink_to(ROOT / "src")


def own_code() -> None:
    """Makes the link in the current folder a copy, which may be edited."""
    source = Path("src")
    if source.is_symlink():
        source.unlink()
        shutil.copytree(ROOT / "src", source)


def one_line_lists(text: str) -> str:
    """YAML with every list of scalars in one line, ``seeds: [0]``, so that a test can edit it."""
    block_list = r"^( *)(\w+):((?:\n\1- \S+)+)$"
    return re.sub(
        block_list,
        lambda m: f"{m[1]}{m[2]}: [{', '.join(re.findall(r'- (.+)', m[3]))}]",
        text,
        flags=re.MULTILINE,
    )


NO_NETWORK = {
    **dict.fromkeys(
        ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"], "http://127.0.0.1:9"
    ),
    "npm_config_registry": "http://127.0.0.1:9",
    "PIP_INDEX_URL": "http://127.0.0.1:9",
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to all scalars and lists of the parameters."""
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, (*path, key))]
    return [path]
