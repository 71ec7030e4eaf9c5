"""The worked exercises of the original report's task 1, and the layers of our nets: the content of
``exercises.json``.

Everything is computed here; the original's answers only stand beside ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cifar_tricks.base.errors import UserError
from cifar_tricks.evaluation.original import ORIGINAL_BEST
from cifar_tricks.exercises.net_layers import describe_net
from cifar_tricks.exercises.shift_experiment import LAYERS, MAX, NET, NONE, measure_shifts
from cifar_tricks.exercises.solutions import (
    FILE,
    Exercise,
    solve_convolution,
    solve_kernel,
    solve_padding,
    solve_parameters,
    solve_pooling,
    solve_second_convolution,
)
from cifar_tricks.parameters.protocol import dataset, is_cifar10
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.runs.folders import read_run, seeds_with_weights
from cifar_tricks.training.recipe import NetSpec

ORIGINAL_FILE = Path(__file__).with_name("original_exercises.json")


def solve_all(params: Params, folder: Path) -> dict[str, Any]:
    """Everything that the report's section shows, as JSON values; on other data than the
    original's only the nets.

    Args:
        params: the checked parameters; the experiment of (b) takes a net trained at their scale.
        folder: of the report; where that net's weights are not here, but an earlier result of the
            same net lies in this folder, that one is kept.

    Raises:
        UserError: a file that the experiment reads is missing or damaged.
    """
    shift = None
    if of_original := is_cifar10(params):
        shift = measure_shifts(params.scale) or known_shifts(params.scale, folder / FILE)
    solved = solve(original_exercises(), shift) if of_original else []
    known = variants(params)
    keys = ["reference-baseline", *(f"{model}-baseline" for model in params.models), ORIGINAL_BEST]
    specs = {key: known[key].recipe.net for key in keys if key in known}
    return {
        "exercises": [asdict(exercise) for exercise in solved],
        "shift": shift,
        "image_size": dataset(params).image_size,
        "nets": {
            key: describe_net(spec) for key, spec in specs.items() if isinstance(spec, NetSpec)
        },
    }


def known_shifts(scale: str, path: Path) -> dict[str, Any] | None:
    """An earlier result of the experiment, where it is of a net whose weights are not here.

    Args:
        scale: of the net.
        path: exercises.json of an earlier run.

    Returns:
        As :func:`~cifar_tricks.exercises.shift_experiment.measure_shifts`; None where there is
        none, or it is of another net.
    """
    try:
        shift: dict[str, Any] = json.loads(path.read_bytes())["shift"]
        run = read_run(scale, NET)
        # A net trained otherwise differs in the last digit.
        accuracy = run.seeds[shift["seed"]].validation_accuracy
        same = accuracy == shift["validation_accuracy"] and not seeds_with_weights(run)
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return None
    return shift if same else None


def original_exercises() -> dict[str, dict[str, Any]]:
    """What each exercise gives (``given``) and what the original report answered (``answer``)."""
    content: dict[str, dict[str, Any]] = json.loads(ORIGINAL_FILE.read_text())["exercises"]
    return content


def solve(
    original: Mapping[str, Mapping[str, Any]], shift: Mapping[str, Any] | None
) -> list[Exercise]:
    """The exercises in their order.

    Args:
        original: see :func:`original_exercises`.
        shift: what :func:`~cifar_tricks.exercises.shift_experiment.measure_shifts` found.
    """
    given = {letter: exercise["given"] for letter, exercise in original.items()}
    answers = {letter: exercise["answer"] for letter, exercise in original.items()}
    # (d), (e) and (f) follow one image through three layers.
    chain = {
        **given["d"],
        "pool": given["e"]["pool"],
        "pool_stride": given["e"]["stride"],
        "second_kernel": given["f"]["kernel_size"],
    }
    return [
        solve_convolution(given["a"], answers["a"]),
        solve_shift(shift, answers["b"]),
        solve_padding(given["c"], answers["c"]),
        solve_kernel(chain, answers["d"]),
        solve_pooling(chain, answers["e"]),
        solve_second_convolution(chain, answers["f"]),
        solve_parameters(NetSpec(**given["g"]), answers["g"]),
    ]


def solve_shift(shift: Mapping[str, Any] | None, original: str) -> Exercise:
    """(b) Which layer makes a net less sensitive to small shifts, by experiment.

    Args:
        shift: its result; None where there is none.
        original: the original's answer.
    """
    question = "Which kind of layer makes a net less sensitive to small shifts of its input?"
    if shift is None:
        return Exercise(
            letter="b",
            question=question,
            answer="not tested here",
            original=original,
            agrees=None,
            remark="The reference net's first convolution leaves nothing to compare.",
        )
    layer = shift["layers"][MAX]
    mean, low, high = layer["against_none"]
    changes = {name: shift["layers"][name]["relative"][0][0] for name in LAYERS}
    better = [name for name, change in changes.items() if change < changes[MAX] and name != NONE]
    if low <= 0 <= high:
        effect = "no clear effect on what a shift by one pixel changes"
    else:
        direction = "less" if mean < 0 else "more"
        effect = (
            f"a shift by one pixel changes the features {abs(mean):.0%} {direction} than without"
        )
    return Exercise(
        letter="b",
        question=question,
        answer=f"{MAX}: {effect}",
        original=original,
        # By both measures, the whole interval has to lie below zero.
        agrees=high < 0 and layer["share_against_none"][2] < 0,
        remark=f"Behind {' and '.join(better)} it changes even less." if better else "",
    )
