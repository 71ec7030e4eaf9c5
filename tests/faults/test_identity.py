"""A state is taken up by its own training only; any other is refused with the difference."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.workplace import OFTEN, edit, patch, stage
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_tricks.base.arrays import read_arrays, write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.base.signed_json import differences
from cifar_tricks.training.checkpoint import Checkpoint

KEY = "model2-baseline"


def interrupt() -> Path:
    """The folder of a training's state, after SIGTERM."""
    edit("num_epochs: 3", "num_epochs: 100000")
    edit("early_stop_count: 4", "early_stop_count: 1000000")
    patch(*OFTEN)
    process = stage("stages/train.py", KEY)
    assert process.stdout is not None and process.stdout.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    (state,) = Path("resume").glob(f"{KEY}-seed=0-*/state.safetensors")
    return state.parent


def start() -> tuple[str, int | None]:
    """The first two lines of a new start, which is then ended; its exit code if it ended itself."""
    process = stage("stages/train.py", KEY)
    assert process.stdout is not None
    lines = process.stdout.readline() + process.stdout.readline()
    process.terminate()
    process.communicate(timeout=30)
    return lines, process.returncode if process.returncode != 143 else None


@pytest.mark.fault("identity", tried=3)
def test_a_state_of_other_parameters_code_or_data_is_not_taken_up(workplace: Path) -> None:
    folder = interrupt()
    content = (folder / "state.safetensors").read_bytes()

    def told(difference: str) -> None:
        output, code = start()
        assert code is None
        first, second = output.splitlines()
        assert first.startswith(f"{folder} is not taken up: ") and difference in first, first
        assert first.endswith("; to be rid of it, delete it")
        assert f"{KEY} seed 0: step 1/" in second
        assert (folder / "state.safetensors").read_bytes() == content
        for other in Path("resume").glob(f"{KEY}-*"):
            if other != folder:
                shutil.rmtree(other)

    edit("learning_rate: 0.05", "learning_rate: 0.06")
    told("recipe.optimizer.arguments.lr = 0.05, here 0.06")
    edit("learning_rate: 0.06", "learning_rate: 0.05")
    models = Path("src/cifar_tricks/training/nets.py")
    good = models.read_text()
    models.write_text(good + "\n")
    told("code = ")
    models.write_text(good)
    arrays = dict(read_arrays("data/dataset/train.safetensors").arrays)
    arrays["labels"] = np.roll(arrays["labels"], 1)
    write_arrays("data/dataset/train.safetensors", arrays)
    told("data.train = ")


@pytest.mark.fault("identity")
def test_a_state_that_was_moved_to_another_training_is_refused(workplace: Path) -> None:
    folder = interrupt()
    edit("learning_rate: 0.05", "learning_rate: 0.06")
    start()
    (other,) = (path for path in Path("resume").glob(f"{KEY}-*") if path != folder)
    shutil.copyfile(folder / "state.safetensors", other / "state.safetensors")
    output, code = start()
    assert code == 2
    assert output == (
        f"error: {other}/state.safetensors is of another training "
        "(recipe.optimizer.arguments.lr = 0.05, here 0.06); delete it, and this run starts anew: "
        f"rm {other}/state.safetensors\n"
    )


@pytest.mark.fault("damage", tried=40)
def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(path=tmp_path / "state.safetensors", identity={"seed": 1})
    checkpoint.save({"progress": {"step": 3}, "net": {"weight": torch.arange(6.0)}})
    good = checkpoint.path.read_bytes()
    for number in range(40):
        damaged = bytearray(good)
        damaged[number * len(good) // 40] ^= 1 << number % 8
        checkpoint.path.write_bytes(bytes(damaged))
        with pytest.raises(UserError, match=r"state\.safetensors (is damaged|holds no state)"):
            checkpoint.load()
    checkpoint.path.write_bytes(good)
    assert checkpoint.load() is not None


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


@pytest.mark.fault("hostile", tried=7)
def test_a_state_cannot_run_code(tmp_path: Path) -> None:
    """Pickles in the place of a state, and sound files with something else in them."""
    canary = tmp_path / "canary"
    checkpoint = Checkpoint(path=tmp_path / "state.safetensors")
    torch.save({"progress": Canary(canary)}, checkpoint.path)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load()
    notes = [
        "",
        "[]",
        '{"identity": {}}',
        '{"identity": {}, "progress": {}, "state": {"tensor": "9", "order": [0]}}',
        '{"identity": {}, "progress": {}, "state": {"tensor": "x", "order": [7, 7]}}',
        '{"identity": {}, "progress": {}, "state": {"object": "os.system"}}',
    ]
    for note in notes:
        write_arrays(checkpoint.path, {"x": np.zeros(3)}, note=note)
        with pytest.raises(UserError, match="holds no state"):
            checkpoint.load()
    assert not canary.exists()


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
)
tensors = st.builds(
    lambda shape, order, kind: (
        torch.arange(np.prod(shape, dtype=int))
        .reshape(shape)
        .to(kind)
        .permute([dim for dim in order if dim < len(shape)])
    ),
    st.lists(st.integers(0, 3), max_size=4),
    st.permutations(range(4)),
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8]),
)
values = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return bool(one.dtype == other.dtype and one.shape == other.shape and (one == other).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return (
            type(one) is type(other)
            and len(one) == len(other)
            and all(map(same, one, other))  # same lengths were checked
        )
    return bool(one == other and type(one) is type(other))


@settings(max_examples=100, deadline=None)
@given(state=st.dictionaries(st.text(max_size=3).filter(lambda name: name != "progress"), values))
def test_any_state_is_read_as_it_was_written(
    state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = Checkpoint(path=tmp_path_factory.mktemp("state") / "state.safetensors")
    progress = {"step": 3, "history": [{"loss": 0.1}], "best_loss": float("inf")}
    checkpoint.save({"progress": progress, **state})
    loaded = checkpoint.load()
    assert same(loaded, {"progress": progress, **state})


def test_memory_format_is_kept(tmp_path: Path) -> None:
    checkpoint = Checkpoint(path=tmp_path / "state.safetensors")
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    checkpoint.save({"progress": {}, "weight": weight})
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded["weight"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(loaded["weight"], weight)


def test_differences_name_keys_and_shorten_hashes() -> None:
    found = {"a": {"b": 1, "c": [1, 2]}, "code": "f" * 64}
    assert differences(found, json.loads(json.dumps(found))) == ""
    wanted = {"a": {"b": 2, "c": (1, 2)}, "code": "e" * 64, "d": None}
    assert differences(found, wanted) == (
        "a.b = 1, here 2; code = ffffffffffff..., here eeeeeeeeeeee..."
    )
