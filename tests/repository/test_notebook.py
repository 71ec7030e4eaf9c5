"""The notebook for Colab and Kaggle, cell by cell, in an environment without DVC and MLflow."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from helpers.project import NO_NETWORK, ROOT
from helpers.synthetic_images import make_images, write_data
from helpers.workplace import small_params
from PIL import Image

from cifar_tricks.base.arrays import write_arrays

NOTEBOOK = ROOT / "notebooks/train.ipynb"
# IPython's own: a line of the shell with Python's values in it; what a cell ends with is shown.
SHELL_LINE = re.compile(r"^( *)!(.+)$", re.MULTILINE)
PREAMBLE = """\
import subprocess
def shell(line):
    done = subprocess.run(line, shell=True, stdout=-1, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, flush=True)
"""


def cells() -> list[str]:
    """The code of each cell as plain Python."""
    code = (cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if "outputs" in cell)
    sources = ["".join(cell["source"]) for cell in code]
    sources = [SHELL_LINE.sub(r"\1shell(f'''\2''')", source) for source in sources]
    return [
        source.replace("from IPython.display import Image", "Image = open") for source in sources
    ]


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with all packages of this one but DVC and MLflow."""
    venv.create(tmp_path / "venv", symlinks=True)
    (own,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("dvc", "mlflow", "_editable_impl_cifar", "__editable__")):
            (own / path.name).symlink_to(path)
    return tmp_path / "venv/bin/python"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One of this code, with a tiny scale and its data."""
    folder = tmp_path / "a repository"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "requirements.lock", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    text = small_params((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(text.replace("seeds: [0]", "seeds: [0, 1, 2]", 1))
    write_data(folder)
    (folder / "data/images").mkdir()
    Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "data/images/photo.jpg")
    write_arrays(folder / "data/augmented.safetensors", make_images(300, seed=2).arrays)
    (folder / "data/augment.done").touch()
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m data"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_every_cell_runs_without_dvc_and_mlflow(
    python: Path, repository: Path, tmp_path: Path
) -> None:
    settings, *rest = cells()
    assert re.findall(r"^(\w+) = ", settings, re.MULTILINE) == [
        "REPOSITORY",
        "SCALE",
        "VARIANT",
        "SEEDS",
    ]
    own = f"REPOSITORY = {str(repository)!r}\nSCALE, VARIANT, SEEDS = 'quick', 'model2-adam', '1-2'"
    own = own.replace(" repository'", "\\\\ repository'")
    checks = [
        "assert missing == '', missing",
        "shown = results[results['key'] == VARIANT]",
        "assert shown[['seed', 'status']].values.tolist() == [[1, 'finished'], [2, 'finished']]",
        "assert Path(f'reports/{SCALE}/index.html').stat().st_size > 100_000",
        "assert Path(f'reports/{SCALE}/figures/overview.png').exists()",
        "import zipfile",
        "assert len([n for n in zipfile.ZipFile('records.zip').namelist() if 'json' in n]) == 2",
    ]
    program = "\n\n".join([PREAMBLE, own, *rest, *checks])
    done = subprocess.run(
        [python, "-c", program],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        | NO_NETWORK,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"note +versions +without dvc there is no dvc repro", done.stdout)
    assert "2 of 2 are on record" in done.stdout and "The report: reports/quick" in done.stdout
    imported = subprocess.run([python, "-c", "import mlflow"], capture_output=True)
    assert imported.returncode != 0


def test_it_is_stored_without_outputs_and_keeps_pytorch() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    assert notebook["nbformat"] == 4 and len({cell["id"] for cell in notebook["cells"]}) > 10
    assert 'not one.startswith("torch")' in "".join(cells())
