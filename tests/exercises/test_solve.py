"""The exercises are solved, not copied; nets and shifts are measured rightly."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.project import ROOT
from helpers.recipes import CPU
from helpers.synthetic_images import make_images, write_data
from helpers.synthetic_study import make_study
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from scipy.signal import convolve2d
from scipy.stats import ttest_1samp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cifar_tricks.base.arrays import write_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.exercises.by_hand import convolve
from cifar_tricks.exercises.net_layers import describe_net, net_layers
from cifar_tricks.exercises.shift_experiment import (
    AVERAGE,
    BLURRED,
    LAYERS,
    MAX,
    NET,
    NONE,
    STRIDED,
    compare_layers,
    mean_and_interval,
    measure_shifts,
    summarise_shifts,
)
from cifar_tricks.exercises.solutions import Exercise
from cifar_tricks.exercises.solve import original_exercises, solve, solve_all
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import variants
from cifar_tricks.report import exercises
from cifar_tricks.report.markdown import render
from cifar_tricks.report.write import TABLES
from cifar_tricks.training.call import Call
from cifar_tricks.training.nets import build_net, num_parameters
from cifar_tricks.training.recipe import NetSpec
from exercises import main

FOLDER = Path("reports/small")
SPECS = {
    key: variant.recipe.net
    for key, variant in variants(load_params(ROOT / "params.yaml"), "full").items()
    if isinstance(variant.recipe.net, NetSpec)
}
SPECS["odd"] = replace(
    SPECS["model1-baseline"],
    filters=(6, 10),
    kernel_size=4,
    stride=3,
    padding=1,
    hidden=(7, 5),
    activation=Call("torch.nn.PReLU"),
    norm_2d=Call("torch.nn.InstanceNorm2d", {"affine": True}),
    norm_1d=Call("torch.nn.BatchNorm1d", {"affine": False}),
    dropout=Call("torch.nn.Dropout", {"p": 0.5}),
)


# The exercises


def solutions(original: dict[str, dict[str, Any]] | None = None) -> dict[str, Exercise]:
    return {one.letter: one for one in solve(original or original_exercises(), None)}


def test_all_exercises_are_answered_and_two_originals_are_wrong() -> None:
    solved = solutions()
    assert list(solved) == list("abcdefg")
    assert {letter: one.agrees for letter, one in solved.items()} == {
        **dict.fromkeys("acdg", True),
        **dict.fromkeys("ef", False),
        "b": None,  # not without its experiment
    }
    assert [solved[letter].answer for letter in "cdef"] == ["2", "9 x 9", "252 x 252", "250 x 250"]
    assert solved["g"].answer.startswith("390,410 (258,624 in conv")
    assert "pools the 512 x 512 image instead of the 504 x 504 feature maps" in solved["e"].remark
    assert "256 x 256" in solved["f"].remark


def test_nothing_is_taken_from_the_originals_answers() -> None:
    original, expected = original_exercises(), solutions()
    changed = {letter: {**one, "answer": 7} for letter, one in original.items()}
    changed["a"]["answer"] = [[7]]
    changed["g"]["answer"] = {**original["g"]["answer"], "total": 7}
    for letter, one in solutions(changed).items():
        assert one.answer == expected[letter].answer
        assert one.working == expected[letter].working
        assert not one.agrees
        assert letter not in "ef" or not one.remark  # 7 is not explained by that slip


def test_an_original_without_its_slip_agrees() -> None:
    original = original_exercises()
    right = {
        **original,
        "e": {**original["e"], "answer": 252},
        "f": {**original["f"], "answer": 250},
    }
    solved = solutions(right)
    assert solved["e"].agrees and solved["f"].agrees
    assert not solved["e"].remark and not solved["f"].remark


def test_every_line_of_the_working_is_true() -> None:
    lines = [line for one in solutions().values() for line in one.working if " = " in line]
    assert len(lines) == 2 + 2 + 2 + 1 + 1 + 6
    for line in lines:
        # "what: expression = result", or "name = expression = result".
        *_, expression, result = line.rpartition(": ")[2].split(" = ")
        numbers = re.sub(r"(?<=\d),(?=\d{3})", "", f"({expression}) == ({result})")
        assert eval(numbers, {"floor": math.floor}), line


def by_torch(image: np.ndarray, kernel: np.ndarray, padding: int) -> np.ndarray:
    """PyTorch does not flip the kernel, so it gets the flipped one."""
    pixels = torch.from_numpy(image)[None, None].double()
    weights = torch.from_numpy(kernel[::-1, ::-1].copy())[None, None].double()
    return F.conv2d(pixels, weights, padding=padding)[0, 0].numpy()


def test_convolution_of_the_exercise_agrees_with_torch_and_scipy() -> None:
    given, original = original_exercises()["a"]["given"], original_exercises()["a"]["answer"]
    image, kernel = np.array(given["image"]), np.array(given["kernel"])
    ours = convolve(given["image"], given["kernel"], padding=1)
    assert ours == original
    assert (by_torch(image, kernel, 1) == ours).all()
    assert (convolve2d(image, kernel, mode="same") == ours).all()


@settings(max_examples=200, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel_shape=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_convolution_by_hand_agrees_with_torch(
    shape: tuple[int, int], kernel_shape: tuple[int, int], padding: int, seed: int
) -> None:
    numbers = np.random.default_rng(seed)
    image, kernel = numbers.integers(-9, 10, shape), numbers.integers(-9, 10, kernel_shape)
    ours = convolve(image.tolist(), kernel.tolist(), padding=padding)
    assert (by_torch(image, kernel, padding) == ours).all()


# Net by net


def modules_run(net: nn.Module, images: Tensor) -> dict[str, tuple[nn.Module, Tensor]]:
    """Every innermost module of a net with its output, in the order in which they run."""
    ran: dict[str, tuple[nn.Module, Tensor]] = {}
    for name, module in net.named_modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda module, _, out, name=name: ran.update({name: (module, out)})
            )
    net(images)
    return ran


@pytest.mark.parametrize("key", SPECS)
def test_layers_agree_with_the_net_that_is_built(key: str) -> None:
    spec, net = SPECS[key], build_net(SPECS[key], seed=0, device=CPU).eval()
    with FlopCounterMode(display=False) as counter:
        ran = modules_run(net, torch.zeros(1, 3, 32, 32))
    expected = []
    for name, (module, out) in ran.items():
        weights = sum(v.numel() for v in module.parameters() if v.requires_grad)
        if weights or isinstance(module, nn.MaxPool2d | nn.BatchNorm1d):
            flops = sum(counter.get_flop_counts().get(f"ConvNet.{name}", {}).values())
            expected.append((tuple(out.shape[1:]), weights, flops))
    layers, whole = net_layers(spec), describe_net(spec)
    # A multiply-add is two floating point operations.
    ours = [(layer.output, layer.parameters, 2 * layer.multiply_adds) for layer in layers]
    assert ours == expected
    assert whole["parameters"] == num_parameters(net)
    assert 2 * whole["multiply_adds"] == counter.get_total_flops()


@pytest.mark.parametrize("key", ["reference-baseline", "model2-baseline", "improve-best"])
def test_receptive_fields_are_what_the_net_can_see(key: str) -> None:
    """Measured on a larger image, whose border is out of reach: which rows change an element."""
    spec = replace(SPECS[key], filters=(2, 2, 2))
    net, pixels = build_net(spec, seed=0, device=CPU).eval(), 96
    with torch.no_grad():
        for name, values in net.named_parameters():
            values.fill_(0 if name.endswith("bias") else 1)  # nothing cancels out
    rows = torch.zeros(pixels, 3, pixels, pixels)
    rows[range(pixels), :, range(pixels)] = 1
    layers = [layer for layer in net_layers(spec) if len(layer.output) == 3]
    ran = [
        out
        for module, out in modules_run(net.blocks, rows).values()
        if not isinstance(module, nn.LeakyReLU | nn.ReLU)
    ]
    for layer, out in zip(layers, ran, strict=True):
        middle = out[:, 0, out.shape[2] // 2, out.shape[3] // 2]
        assert int((middle > 0).sum()) == layer.receptive_field
    # A fully connected layer sees as many neighbours as a feature map of a CIFAR-10 image has.
    side, maps = layers[-1].output[-1], ran[-1][:, 0, :, 0]
    first = (maps.shape[1] - side) // 2
    seen = (maps[:, first : first + side] > 0).any(1)
    assert {int(seen.sum())} == {layer.receptive_field for layer in net_layers(spec)[len(layers) :]}


# Shifts


def test_stripes_of_one_pixel_vanish_behind_pooling_and_not_behind_strides() -> None:
    stripes = torch.tensor([1.0, 3.0]).repeat(16).expand(4, 1, 32, 32)
    images = stripes * torch.arange(1, 5).view(4, 1, 1, 1)
    changes = compare_layers(images, lambda pixels: pixels, (1, 2))
    # Down, nothing changes; to the right, every element by 2, of a root mean square of 5 ** 0.5.
    assert changes[NONE].relative[0].tolist() == pytest.approx([0.5 * 2 / 5**0.5] * 4)
    assert changes[STRIDED].relative[0].tolist() == pytest.approx([0.5 * 2] * 4)
    for name in (AVERAGE, MAX, BLURRED):
        assert changes[name].relative.abs().max() == 0
    for name in LAYERS:  # a shift by two pixels moves stripes onto stripes
        assert changes[name].relative[1].abs().max() == 0
        assert changes[name].unrelated.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 3 / 4])


def test_shifts_agree_with_a_plain_calculation_and_wrap_nothing_around() -> None:
    images = torch.from_numpy(make_images(6).arrays["images"]).float()
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    changes = compare_layers(images, lambda x: F.relu(F.conv2d(x, weight)), (1, 4))
    for number, image in enumerate(images.double().numpy()):
        for place, shift in enumerate((1, 4)):
            crops = [image[:, :28, :28], image[:, shift:, :28], image[:, :28, shift:]]
            crops[1], crops[2] = crops[1][:, :28], crops[2][:, :, :28]
            maps = [
                F.max_pool2d(F.relu(F.conv2d(torch.from_numpy(c.copy()), weight.double())), 2)
                for c in crops
            ]
            distances = [(m - maps[0]).norm() / maps[0].norm() for m in maps[1:]]
            expected = float(sum(distances) / 2)
            assert float(changes[MAX].relative[place, number]) == pytest.approx(expected, rel=1e-4)


def test_blurred_pooling_is_that_of_its_source() -> None:
    maps = torch.randn(2, 4, 20, 21)
    filter_1d = torch.tensor([1.0, 2.0, 1.0])
    kernel = (filter_1d[:, None] * filter_1d / 16).expand(4, 1, 3, 3)
    expected = F.conv2d(F.max_pool2d(maps, 2, stride=1), kernel, stride=2, groups=4)
    torch.testing.assert_close(LAYERS[BLURRED](maps), expected)


def test_images_that_are_no_measure_of_anything_are_left_out() -> None:
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    images[1] = 0
    images[3] = images[4]
    images[5] = float("nan")
    images[6] = 1
    changes = compare_layers(images, lambda pixels: pixels, (1,))
    # 0, 2 and 7 are left: 4 has no measurable distance from the image behind it.
    assert changes[NONE].relative.shape == (1, 3)
    numbers = json.dumps(summarise_shifts(changes, (1,)), allow_nan=False)
    assert json.loads(numbers)["images"] == 3


def test_interval_is_students() -> None:
    values = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = ttest_1samp(values.numpy(), 0).confidence_interval(0.95)
    mean, low, high = mean_and_interval(values)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert mean == pytest.approx(values.mean().item(), abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "agrees", "words"),
    [(0.5, True, "50% less"), (2.0, False, "100% more"), (1.0, False, "no clear effect")],
)
def test_what_is_said_of_pooling_follows_the_numbers(
    layer: float, agrees: bool, words: str
) -> None:
    changes = compare_layers(torch.rand(8, 1, 32, 32), lambda pixels: pixels, (1,))
    plain = changes[NONE]
    changes[MAX] = replace(plain, relative=plain.relative * layer)
    shift = summarise_shifts(changes, (1,))
    assert shift["layers"][MAX]["below_none"] == (8 if layer < 1 else 0)
    exercise = solve(original_exercises(), shift)[1]
    assert exercise.agrees == agrees and words in exercise.answer


# The stage


def write_net(params: Params, *, filters: float = 1.0) -> None:
    """Training images, and weights for the reference net's run of the study."""
    write_data(Path(), train=704)
    Path("data/dataset/test.safetensors").unlink()  # not to be read
    spec = variants(params)[NET].recipe.net
    weights = build_net(spec, seed=0, device=CPU).state_dict()
    arrays = {name: (values * filters).numpy() for name, values in weights.items()}
    for seed in params.seeds:
        write_arrays(f"runs/small/{NET}/seed={seed}/model.safetensors", arrays)


def section() -> str:
    content = exercises.read_exercises(FOLDER)
    tables = {function.__name__: function for function in TABLES}
    return render("exercises.md.j2", {"exercises": content, "of_cifar10": True, **tables})


def test_stage_writes_the_same_bytes_twice_and_reads_no_test_image(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(3, 5)) as study:
        write_net(study.params)
        files = [FOLDER / "exercises.json", FOLDER / "exercises/shift.png"]
        runs = []
        for _ in range(2):
            main([])
            runs.append([file.read_bytes() for file in files])
        content = json.loads(files[0].read_text())
        with Image.open(files[1]) as picture:
            assert picture.size[0] == 9 * 150
    assert runs[0] == runs[1]
    assert list(content["nets"]) == ["reference-baseline", "model1-baseline", "narrow-baseline"]
    shift = content["shift"]
    assert (shift["seed"], shift["images"], shift["crop"]) == (3, 64, 24)
    assert all(len(layer["relative"]) == 8 for layer in shift["layers"].values())


def test_section_shows_answers_shifts_and_nets(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        write_net(study.params)
        main([])
        page = section()
        shift = json.loads((FOLDER / "exercises.json").read_text())["shift"]
    assert "| (e) | 252 x 252 | 256 x 256 | **no** |" in page
    assert "| (c) | 2 | 2 | yes |" in page
    mean, low, high = shift["layers"][MAX]["relative"][0]
    assert f"| {MAX} | {mean:.3f}<br>{low:.3f} to {high:.3f} |" in page
    assert "![Relative change" in page and "(exercises/shift.png)" in page
    assert "| convolution 1: 5 x 5, stride 1, padding 2 | 8 x 32 x 32 | 608 | 5 x 5 |" in page
    assert page.count("<details>") == 2
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert html.count("<table>") == 2 + 3 and html.count("<pre>") == 6
    assert "390,410" in html and "0*1 + 0*0" in html


def test_section_without_the_stage_says_so(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)):
        assert "Not solved yet" in section()


@pytest.mark.parametrize("filters", [0.0, float("nan")])
def test_a_net_without_features_is_no_obstacle(tmp_path: Path, filters: float) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        write_net(study.params, filters=filters)
        main([])
        assert (FOLDER / "exercises").is_dir()
        assert not (FOLDER / "exercises/shift.png").exists()
        page = section()
    assert "| (b) | not tested here | max-pooling | — |" in page and "shift.png" not in page


def test_a_net_whose_feature_maps_are_too_small_is_no_obstacle(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        write_net(study.params)
        weights = {"blocks.0.conv.weight": np.ones((8, 3, 22, 22), np.float32)}
        weights["blocks.0.conv.bias"] = np.zeros(8, np.float32)
        write_arrays(f"runs/small/{NET}/seed=0/model.safetensors", weights)
        assert measure_shifts("small") is None


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0,)) as study:
        with pytest.raises(UserError, match=r"model\.safetensors is missing"):
            solve_all(study.params, Path())
        write_net(study.params)
        Path("data/dataset/train.safetensors").write_bytes(b"x")
        with pytest.raises(UserError, match=r"train\.safetensors is damaged"):
            solve_all(study.params, Path())
        with pytest.raises(UserError, match="takes no arguments"):
            main(["x"])
        (FOLDER / "exercises.json").write_text("{")
        with pytest.raises(UserError, match="dvc repro --force --single-item exercises"):
            section()
