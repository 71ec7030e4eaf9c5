"""`make setup` on a small project: real make, pip and uv, a package index on 127.0.0.1 only."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
from helpers.project import ROOT

from cifar_tricks.commands.package_index import split_lock, uv_environment

NOWHERE = "http://127.0.0.1:9"


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """A wheel with these files, listed as an index lists it; its path."""
    about = f"{name}-{version}.dist-info"
    if f"{about}/METADATA" not in files:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files[f"{about}/METADATA"] = metadata.encode()
        files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(
        f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items()
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in {**files, f"{about}/RECORD": record.encode()}.items():
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
    listing = folder / "index.html"
    before = listing.read_text() if listing.exists() else "<!DOCTYPE html>\n"
    name_in_link = path.name.replace("+", "%2B")
    line = f'<a href="{name_in_link}#sha256={_hash(path)}">{path.name}</a><br>\n'
    listing.write_text(before + line)
    return path


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packed(folder: Path, name: str) -> Path:
    """The wheel of a package that is installed here."""
    found = distribution(name)
    site = Path(str(found.locate_file(""))).resolve()
    files = {}
    for entry in found.files or ():
        path = Path(str(entry.locate())).resolve()
        if path.is_file() and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER"):
            inside = path.relative_to(site) if path.is_relative_to(site) else None
            if inside is None and name == "pip":
                continue  # its scripts are written when it is installed
            files[str(inside or f"{name}-{found.version}.data/scripts/{path.name}")] = (
                path.read_bytes()
            )
    about = f"{name}-{found.version}.dist-info"
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return write_wheel(folder / name, name, found.version, files)


def lock(*wheels: Path) -> str:
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{_hash(wheel)}\n    # via me\n")
    return "".join(lines)


PACKAGES = (
    ("tool", "1.0"),
    ("tester", "2.0"),
    ("torch", "3.0"),
    ("triton", "4.0"),
    ("driver", "5.0"),
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """A folder laid out as an index, and its wheels."""
    folder = tmp_path_factory.mktemp("index")
    found = {name: packed(folder / "simple", name) for name in ("pip", "uv")}
    for name, version in PACKAGES:
        files = {f"{name}.py": b"KIND = 'from the lock'\n\n\ndef main():\n    print('runs')\n"}
        if name == "tool":
            files["tool-1.0.dist-info/entry_points.txt"] = b"[console_scripts]\ntool = tool:main\n"
        found[name] = write_wheel(folder / "simple" / name, name, version, files)
    write_wheel(folder / "cpu/torch", "torch", "3.0+cpu", {"torch.py": b"KIND = 'for the CPU'\n"})
    return folder, found


@pytest.fixture(scope="module")
def address(wheels: tuple[Path, dict[str, Path]]) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(wheels[0])))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Project:
    """A checkout whose locks name those few wheels; nothing but the index can be reached."""

    def __init__(self, folder: Path, home: Path, wheels: dict[str, Path]) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Makefile", "pyproject.toml", "README.md"):
            shutil.copyfile(ROOT / name, folder / name)
        locks = {
            "-bootstrap": ("pip", "uv"),
            "": ("tool", "torch", "triton"),
            "-dev": ("tester",),
            "-postgres": ("driver",),
        }
        for kind, names in locks.items():
            path = folder / f"requirements{kind}.lock"
            path.write_text(lock(*(wheels[name] for name in names)))
        home.mkdir(exist_ok=True)
        base = Path(getattr(sys, "_base_executable", sys.executable))
        self.environment = {
            "HOME": str(home),
            "PATH": f"{base.parent}:/usr/bin:/bin",
            "PYTHON": str(base),
            "UV_CACHE_DIR": str(home / "uv"),
            "https_proxy": NOWHERE,
            "http_proxy": NOWHERE,
            "no_proxy": "127.0.0.1",
        }

    def make(self, *arguments: str, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            ["make", "-s", *arguments],
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def python(self, program: str) -> str:
        command = [".venv/bin/python", "-c", program]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        return (done.stdout + done.stderr).strip()

    def tool(self, name: str = "tool") -> str:
        """What an installed script prints."""
        path = self.folder / ".venv/bin" / name
        return subprocess.run([path], capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path, wheels: tuple[Path, dict[str, Path]], address: str) -> Project:
    """Of somebody whose mirror stands in pip's file only."""
    folder = tmp_path / "a folder, ä"
    folder.mkdir()
    made = Project(folder, tmp_path / "home", wheels[1])
    settings = tmp_path / "home/.config/pip/pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nindex-url = {address}/simple\n")
    return made


def test_setup_notices_what_no_longer_runs(project: Project, tmp_path: Path) -> None:
    # An index that cannot be reached is named, and what was begun is gone on with.
    secret = f"{NOWHERE}/simple".replace("//", "//me:password@")
    line = project.make("setup", code=2, UV_DEFAULT_INDEX=secret).splitlines()[-2]
    assert line.startswith("error: make setup: uv pip sync failed")
    assert line.endswith(f"it asked UV_DEFAULT_INDEX={NOWHERE}/simple".replace("//", "//***@"))
    outer = {"PYTHONHOME": "/nowhere", "PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2"}
    project.make("setup", PYTHONPATH="/nowhere", **outer)
    assert project.python("import torch, triton; print(torch.KIND)") == "from the lock"
    assert "No module named 'tester'" in project.python("import tester")
    assert "usage: python -m cifar_tricks" in project.tool("cifar-tricks")
    # Nothing to be done: no file of it is touched.
    stamp = project.folder / ".venv/installed"
    before = stamp.stat().st_mtime_ns
    assert project.make("setup") == "" and stamp.stat().st_mtime_ns == before
    # What tests need comes on top, and stays when the rest is asked for.
    assert "No module named 'driver'" in project.python("import driver")
    project.make("setup-dev", EXTRAS="postgres")
    project.make("setup")
    assert project.python("import tester, driver") == ""
    # The folder gets another name.
    project.folder = project.folder.rename(tmp_path / "moved ö")
    assert project.tool() == "runs\n"
    assert project.make("setup") == "" and str(project.folder) in stamp_of(project)["place"]
    assert str(project.folder) in (project.folder / ".venv/bin/activate").read_text()
    assert "usage: python -m cifar_tricks" in project.tool("cifar-tricks")
    # The interpreter under it goes away.
    for link in (project.folder / ".venv/bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python")
    project.make("setup")
    assert project.tool() == "runs\n" and project.python("import tester") == ""
    # A lock changes.
    path = project.folder / "requirements-dev.lock"
    path.write_text("")
    project.make("setup")
    assert "No module named 'tester'" in project.python("import tester")
    # An environment that somebody else made.
    shutil.rmtree(project.folder / ".venv")
    command = [project.environment["PYTHON"], "-m", "venv", "--without-pip", ".venv"]
    subprocess.run(command, cwd=project.folder, check=True)
    project.make("setup")
    assert project.tool() == "runs\n"


def stamp_of(project: Project) -> dict[str, str]:
    stamp: dict[str, str] = json.loads((project.folder / ".venv/installed").read_bytes())
    return stamp


@pytest.mark.slow
def test_pytorch_without_cuda(project: Project, address: str) -> None:
    assert project.make("setup", "TORCH=cqu", code=2).startswith("error: TORCH = cqu: valid: cpu")
    wrong = f"TORCH_INDEX={address}/nothing"
    assert f"it asked UV_DEFAULT_INDEX={address}/nothing" in project.make(
        "setup", "TORCH=cpu", wrong, code=2
    )
    project.make("setup", "TORCH=cpu", f"TORCH_INDEX={address}/cpu")
    assert project.python("import torch; print(torch.KIND)") == "for the CPU"
    assert "No module named 'triton'" in project.python("import triton")
    before = stamp_of(project)
    project.make("setup")
    assert stamp_of(project) == before
    project.make("setup", "TORCH=lock")
    assert project.python("import torch, triton; print(torch.KIND)") == "from the lock"


def test_mistakes_end_before_anything_is_made(project: Project) -> None:
    assert project.make("setup", "PYTHON=/bin/false", code=2).startswith(
        "error: Python 3.11 or newer is needed; PYTHON=... names one"
    )
    told = project.make("setup", EXTRAS="postgres rya", code=2)
    assert told.startswith("error: EXTRAS = rya: valid: postgres, ray, s3, s3-server\n")
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/mine.txt").write_text("mine")
    assert "is no Python environment: move it away" in project.make("setup", code=2)
    assert (project.folder / ".venv/mine.txt").read_text() == "mine"


def test_uv_looks_where_pip_does(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    settings = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://one.example\nhttps://two.example",
        "find-links": "/wheels /more",
        "cert": "/company.pem",
    }
    told = uv_environment(home, settings)
    assert told == home | {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example https://two.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/company.pem",
    }
    own = home | {"UV_INDEX_URL": "https://own.example/simple", "SSL_CERT_FILE": "/own.pem"}
    assert uv_environment(own, settings) == own | {"UV_FIND_LINKS": "/wheels,/more"}
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text('[[index]]\nurl = "https://own.example"\n')
    assert "UV_DEFAULT_INDEX" not in uv_environment(home, settings)


def pins(text: str) -> set[str]:
    return {line.split("==")[0] for line in text.splitlines() if "==" in line}


def test_what_is_left_out_without_cuda() -> None:
    text = (ROOT / "requirements.lock").read_text()
    rest, torch = split_lock(text)
    left_out = pins(text) - pins(rest)
    assert {"torch", "torchvision", "triton", "cuda-toolkit", "nvidia-cublas"} <= left_out
    assert all(name.startswith(("torch", "triton", "cuda-", "nvidia-")) for name in left_out)
    assert not any("nvidia" in name for name in pins(rest))
    assert [pin.split("==")[0] for pin in torch] == ["torch", "torchvision"]


def test_the_locks_hold_what_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    study = project["project"]["optional-dependencies"]["study"]
    named = {"": project["project"]["dependencies"] + study}
    named |= {f"-{name}": wanted for name, wanted in project["dependency-groups"].items()}
    for kind, wanted in named.items():
        names = {re.split(r"[^\w.-]", name)[0].lower().replace(".", "-") for name in wanted}
        assert names <= pins((ROOT / f"requirements{kind}.lock").read_text()), "make lock"
