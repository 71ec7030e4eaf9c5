"""What strangers may send: archives that unpack without end, models and params that mean harm."""

import gzip
import io
import json
import pickle
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.champion import FOLDER
from helpers.project import ROOT, leaves, link_code, one_line_lists
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.data.archives import BadArchive, read_members
from cifar_tricks.evaluation.classifier import load_classifier


def memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def many_members(size: int) -> bytes:
    """A tar of empty-looking members, a thousand times smaller when packed."""
    info = tarfile.TarInfo("notes")
    info.size = 1 << 20
    member = info.tobuf() + bytes(info.size)
    return member * (size // len(member))


def long_header(size: int) -> bytes:
    """A member whose extended header alone has this size."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, size
    return info.tobuf() + bytes(size)


def long_name(size: int) -> bytes:
    """A member whose name has this size."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf() + b"a" * size


@pytest.mark.fault("hostile")
@pytest.mark.parametrize("bomb", [many_members, long_header, long_name])
def test_an_archive_that_unpacks_without_end_is_given_up(bomb: Any, tmp_path: Path) -> None:
    path = tmp_path / "bomb.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(4):
            file.write(bomb(256 << 20))
    assert path.stat().st_size < 8 << 20
    before, started = memory(), time.monotonic()
    with pytest.raises(BadArchive, match="unpacks to more than"):
        read_members(path, {"wanted": 1000})
    assert memory() - before < 64 << 20
    assert time.monotonic() - started < 5


@pytest.mark.fault("hostile")
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE + b""])
def test_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("device")
    info.type = kind
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(info)
    with pytest.raises(BadArchive):
        read_members(path, {"wanted": 1000})


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.fault("hostile", tried=3)
def test_weights_that_are_a_pickle_are_refused(tmp_path: Path) -> None:
    """Under any name: safetensors is the only format that is read."""
    canary, path = tmp_path / "canary", tmp_path / "model.safetensors"
    old = io.BytesIO()
    torch.save(Canary(canary), old, _use_new_zipfile_serialization=False)
    new = io.BytesIO()
    torch.save(Canary(canary), new)
    for content in (pickle.dumps(Canary(canary)), old.getvalue(), new.getvalue()):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read_arrays(path)
    assert not canary.exists()


@pytest.mark.fault("hostile", tried=3)
def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    huge = {"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    before = memory()
    for header in (json.dumps(huge).encode(), b"{" * 1000, b""):
        for length in (len(header), 1 << 62):
            path.write_bytes(length.to_bytes(8, "little") + header)
            with pytest.raises(UserError, match="damaged"):
                read_arrays(path)
    assert memory() - before < 64 << 20


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-5, 2**40), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.sampled_from(["os.system", "builtins.eval", "torch.hub.load", "../../x", "<script>"]),
)


@pytest.mark.fault("hostile", tried=150)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_description_of_a_model_is_answered_or_refused(
    trained_copy: Path,
    data: st.DataObject,
) -> None:
    """`make predict` with a model from a stranger."""
    folder = trained_copy / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FOLDER, folder)
    about = json.loads((FOLDER / "model.json").read_text())
    path = data.draw(st.sampled_from(leaves(about)))
    section = about
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = data.draw(WRONG)
    (folder / "model.json").write_text(json.dumps(about))
    try:
        classifier = load_classifier(folder)
        classifier.probabilities(np.zeros((1, 32, 32, 3), np.uint8))
    except UserError as error:
        assert "\n" not in str(error)


STAGES = ("check", "download", "augment", "train", "evaluate", "visualize", "report", "track")


@pytest.mark.slow
@pytest.mark.fault("params")
def test_every_stage_refuses_wrong_parameters_before_any_work(
    tmp_path: Path, record_property: Any
) -> None:
    """Real processes: one line, exit code 2, under 3 seconds, nothing written."""
    cases = [
        ("scale: quick", "scale: huge"),
        ("learning_rate: 0.05", "learning_rate: .nan"),
        ("learning_rate: 0.05", "learning_rate: 1e400"),
        ("batch_size: 64", "batch_size: 64.5"),
        ("batch_size: 64", "batch_size: !!python/object/apply:os.system ['touch canary']"),
        ("seeds: [0]", "seeds: [0, 0]"),
        ("seeds: [0]", "seeds: []"),
        ("train:", "trian:"),
        ("models:", "models: ["),
        ("device: auto", "device: &a [*a]"),
        ("dropout: {probability: 0.25}", "dropout: {probability: 1.5}"),
        ("dropout: {probability: 0.25}", "dropout: {__class__: x}"),
        ("pool: 2", "pool: 64"),
        ("trick: baseline", "trick: '<script>alert(1)</script>'"),
        ("trick: baseline", "trick: ../../etc/passwd"),
        ("trick: baseline", "trick: 'a\\nb'"),
        ("trick: baseline", "trick: \\x00"),
        ("threads: 1", "threads: 1" + "0" * 5000),
        ("threads: 1", "threads: " + "[" * 10_000),
    ]
    link_code(tmp_path)
    text = one_line_lists((ROOT / "params.yaml").read_text())
    before = set(tmp_path.rglob("*"))
    record_property("tried", len(cases) * len(STAGES))
    for wrong, right in cases:
        assert wrong in text, wrong
        (tmp_path / "params.yaml").write_text(text.replace(wrong, right, 1))
        for stage in STAGES:
            started = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-B", f"stages/{stage}.py", "model1-baseline"][
                    : 4 if stage == "train" else 3
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            case = (right[:60], stage, done.stdout, done.stderr)
            assert done.returncode == 2 and done.stdout == "", case
            assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, case
            assert len(done.stderr) < 1000, case
            assert time.monotonic() - started < 3, case
    after = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    assert after - before == {tmp_path / "params.yaml"}


@pytest.mark.fault("params", tried=100)
@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.binary(max_size=60))
def test_any_file_in_the_place_of_params_is_refused(
    text: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from cifar_tricks.parameters.load import load_params

    path = tmp_path_factory.mktemp("any") / "params.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as error:
        load_params(path)
    assert "\n" not in str(error.value)


def test_yaml_is_read_without_objects() -> None:
    with pytest.raises(Exception, match="could not determine a constructor"):
        YAML(typ="safe", pure=True).load("!!python/object/apply:os.system ['true']")
