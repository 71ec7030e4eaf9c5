"""Several seeds at once, and steps that are recorded and replayed, as on a GPU."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.project import ROOT
from helpers.recipes import (
    CPU,
    all_recipes,
    all_tricks,
    assert_same,
    make_recipe,
    train_all,
)
from helpers.tape import EagerStream, Operations, TapeStream

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import Interrupted
from cifar_tricks.training.call import Call
from cifar_tricks.training.images import make_training_data
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.streams import Stream
from cifar_tricks.training.trainer import STEPS_BEFORE_RECORDING, Trainer


@pytest.mark.parametrize("name", all_recipes())
def test_seeds_at_once_give_the_bytes_of_each_alone(name: str, arrays: Arrays) -> None:
    recipe = replace(all_recipes()[name], num_epochs=2)
    together = train_all(recipe, arrays, (0, 1))
    for seed, fitted in together.items():
        assert_same(fitted, train_all(recipe, arrays, (seed,))[seed])


def test_each_seed_stops_early_by_itself_and_is_yielded_then(arrays: Arrays) -> None:
    recipe = replace(all_tricks()["batch_norm"], num_epochs=40)
    together = train_all(recipe, arrays, (0, 1, 2, 3))
    steps = [fitted.progress.step for fitted in together.values()]
    assert all(fitted.progress.stopped for fitted in together.values())
    assert steps == sorted(steps) and len(set(steps)) > 1
    for seed, fitted in together.items():
        assert_same(fitted, train_all(recipe, arrays, (seed,))[seed])


@pytest.mark.fault("diverge")
def test_a_diverging_seed_leaves_the_others_alone(arrays: Arrays) -> None:
    """All diverge here, but at the same validation each by itself; the rest of the loop goes on."""
    wild = make_recipe(optimizer=Call("torch.optim.SGD", {"lr": 1e6}))
    together = train_all(wild, arrays, (0, 1))
    assert all(fitted.progress.diverged for fitted in together.values())


@pytest.mark.parametrize("name", all_recipes())
def test_a_replayed_step_does_what_the_step_does(name: str, arrays: Arrays) -> None:
    recipe = replace(all_recipes()[name], num_epochs=2)
    streams: list[TapeStream] = []

    def open_stream(device: torch.device) -> Stream:
        streams.append(TapeStream(device))
        return streams[-1]

    replayed = train_all(recipe, arrays, (0, 1), open_stream=open_stream)
    stepwise = train_all(recipe, arrays, (0, 1), open_stream=EagerStream)
    for seed in (0, 1):
        assert_same(replayed[seed], stepwise[seed])
    assert all(stream.tape.calls for stream in streams)


@pytest.mark.parametrize("name", all_recipes())
def test_what_a_replay_needs_changes_a_training_by_rounding_only(name: str, arrays: Arrays) -> None:
    recipe = replace(all_recipes()[name], num_epochs=1)
    expected = train_all(recipe, arrays, (0,))[0].progress.validation_losses
    found = train_all(recipe, arrays, (0,), open_stream=EagerStream)[0].progress.validation_losses
    assert found == pytest.approx(expected, rel=2e-2 if recipe.precision == "bf16" else 1e-3)


@pytest.mark.parametrize("open_stream", [TapeStream, EagerStream])
@pytest.mark.parametrize("name", ["several", "momentum"])
def test_seeds_at_once_are_resumed_to_the_same_bytes(
    name: str, open_stream: Callable[[torch.device], Stream], arrays: Arrays, tmp_path: Path
) -> None:
    recipe = all_recipes()[name]
    for last in (2, 7, 20):
        done: list[int] = []
        with pytest.raises(Interrupted):
            train_all(
                recipe,
                arrays,
                (0, 1),
                folder=tmp_path,
                open_stream=open_stream,
                on_step=lambda seed, progress, done=done: done.append(progress.step),
                should_stop=lambda done=done, last=last: max(done, default=0) >= last,
            )
    resumed = train_all(recipe, arrays, (0, 1), folder=tmp_path, open_stream=open_stream)
    for seed, fitted in train_all(recipe, arrays, (0, 1), open_stream=open_stream).items():
        assert_same(resumed[seed], fitted)


def test_an_optimizer_that_needs_the_host_is_not_recorded(arrays: Arrays) -> None:
    recipe = make_recipe(optimizer=Call("torch.optim.RMSprop", {"lr": 1e-3}), num_epochs=1)
    stream = TapeStream(CPU)
    replayed = train_all(recipe, arrays, (0,), open_stream=lambda device: stream)
    assert not stream.tape.calls
    assert_same(replayed[0], train_all(recipe, arrays, (0,))[0])


def test_a_training_does_not_import_the_compiler() -> None:
    """It is a third of what a short training costs."""
    program = (
        "import sys; sys.path[:0] = ['tests', 'benchmarks', 'src']\n"
        "from helpers.recipes import all_recipes, train_all\n"
        "from helpers.synthetic_images import make_images\n"
        "for name in ('several', 'momentum'):\n"
        "    train_all(all_recipes()[name], make_images(300), (0,))\n"
        "assert 'torch.optim.adam' in sys.modules\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def operations_of_a_step(recipe: Recipe, arrays: Arrays) -> list[str]:
    """The kernels of one step of training, as it is recorded."""
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU)
    run = Trainer(recipe, data, seed=0, device=CPU, stream=EagerStream(CPU))
    with run.turn():
        for _ in range(STEPS_BEFORE_RECORDING):
            run.train_step()
        with Operations() as operations:
            run.train_step()
    return operations.names


def test_a_step_costs_no_more_operations_than_it_used_to(arrays: Arrays) -> None:
    """Each one is a kernel to launch on a GPU; a change that adds some should know it."""
    baseline = operations_of_a_step(make_recipe(), arrays)
    assert not any("local_scalar" in name or "nonzero" in name for name in baseline)
    assert len(baseline) <= 40
    assert len(operations_of_a_step(all_tricks()["batch_norm"], arrays)) <= 49
    assert len(operations_of_a_step(all_tricks()["augment_online"], arrays)) <= 58
    assert len(operations_of_a_step(make_recipe(precision="bf16"), arrays)) <= 45
