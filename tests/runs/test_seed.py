"""A seed's folder from its claim to its end."""

from pathlib import Path

import pytest
from helpers.workplace import KEY, edit

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.commands.record import record_seeds
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs import seed as module
from cifar_tricks.runs.folders import WEIGHTS, read_run
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.reuse import adopt
from cifar_tricks.runs.seed import locked
from cifar_tricks.runs.train import train_variant


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of weights that are compared with their hashes, as often as they are."""
    files: list[str] = []
    read_arrays = module.read_arrays

    def read(path: Path, *, remedy: str) -> Arrays:
        files.append(path.parent.name.rpartition("-")[0])
        return read_arrays(path, remedy=remedy)

    monkeypatch.setattr(module, "read_arrays", read)
    return files


def test_what_an_earlier_process_left_is_hashed_once(workplace: Path, hashed: list[str]) -> None:
    edit("seeds: [0]", "seeds: [0, 1]")
    record_seeds(load_params(), KEY, [0])
    assert hashed == []  # known from the training
    train_variant(load_params(), KEY)
    assert hashed == [f"{KEY}-seed=0"]
    assert set(read_run("quick", KEY).seeds) == {0, 1}


@pytest.mark.fault("damage")
def test_a_seed_that_is_damaged_in_runs_is_not_adopted(workplace: Path) -> None:
    params = load_params()
    train_variant(params, KEY)
    path = Path("runs/quick", KEY, "seed=0", WEIGHTS)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with locked(plan(params, KEY), [0]) as seeds:
        with pytest.raises(UserError, match=rf"^{path} is .*dvc checkout {path.parent};"):
            adopt(seeds[0])
        assert seeds[0].result is None
        path.write_bytes(content)
        assert adopt(seeds[0]) and seeds[0].has_weights
        assert (seeds[0].folder / WEIGHTS).read_bytes() == content
