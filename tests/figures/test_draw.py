"""The pictures of activations: what is drawn, how it is scaled, and always the same bytes."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.figure import Figure
from PIL import Image

from cifar_tricks.datasets.catalogue import CIFAR10
from cifar_tricks.figures.draw_activations import plan_pictures
from cifar_tricks.figures.draw_grad_cam import overlay
from cifar_tricks.figures.style import save_figure
from cifar_tricks.figures.tiles import colour_filters, gray_maps
from cifar_tricks.figures.views import Attribution, Examples, NetView, Views
from cifar_tricks.report.markdown import Markdown, render


def make_view(
    *, size: int = 224, weights: int = 32, filters: int = 5, channels: int = 10
) -> NetView:
    numbers = np.random.default_rng(0)
    return NetView(
        net="a net",
        image="noise in place of the original report's zebra, which could not be had",
        pixels=numbers.integers(0, 256, (size, size, 3), dtype=np.uint8),
        first="blocks.0.conv",
        weights=numbers.normal(size=(weights, 3, 5, 5)),
        filters=tuple(range(filters)),
        first_maps=numbers.normal(size=(filters, size // 2, size // 2)),
        last="layer4",
        channels=tuple(range(channels)),
        last_maps=numbers.normal(size=(channels, 7, 7)).clip(0),
        last_channels=512,
        answer="Greater Swiss Mountain dog",
        probability=0.5,
    )


def make_attribution(right: int = 4, wrong: int = 4) -> Attribution:
    numbers, count = np.random.default_rng(0), right + wrong
    labels = np.arange(count) % 10
    examples = Examples(
        title="CIFAR-10",
        class_names=CIFAR10.class_names,
        images=numbers.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        labels=labels,
        predicted=np.where(np.arange(count) < right, labels, (labels + 1) % 10),
        index=np.arange(count) + 9_990,
    )
    maps = numbers.uniform(size=(2, count, 32, 32))
    return Attribution(
        net="improve-best",
        layer="activations of blocks.2 before pooling",
        map_size=8,
        examples=examples,
        for_predicted=maps[0],
        for_label=maps[1],
        probability=np.full(count, 0.5),
    )


VIEWS = Views(
    photo=make_view(),
    own={"model1-baseline": make_view(size=32, weights=64, filters=8, channels=8)},
    attribution=make_attribution(),
)
NAMES = [
    "activations-first",
    "activations-filters",
    "activations-last",
    "activations-model1-baseline",
    "grad-cam",
]


def texts(name: str, views: Views = VIEWS) -> str:
    """Everything that is written in a picture."""
    figure = Figure()
    plan_pictures(views)[name][1](figure)
    found = [*figure.texts]
    for ax in figure.axes:
        found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
    for text in (getattr(figure, "_suptitle", None), getattr(figure, "_supxlabel", None)):
        if text is not None:
            found.append(text)
    return "\n".join(text.get_text() for text in found).replace("\N{MULTIPLICATION SIGN}", "x")


def test_every_picture_is_drawn_and_twice_the_same(tmp_path: Path) -> None:
    plan = plan_pictures(VIEWS)
    assert list(plan) == NAMES
    for name, picture in plan.items():
        for folder in ("a", "b"):
            save_figure(tmp_path / folder / f"{name}.png", *picture)
        assert (tmp_path / "a" / f"{name}.png").read_bytes() == (
            tmp_path / "b" / f"{name}.png"
        ).read_bytes()
        with Image.open(tmp_path / "a" / f"{name}.png") as drawn:
            assert drawn.width == 1350 and 300 < drawn.height < 800


def test_pictures_say_what_they_show() -> None:
    first = texts("activations-first")
    for part in ("a net", "filter 4", "blocks.0.conv, 32 x 3 x 5 x 5", "32 x 112 x 112"):
        assert part in first
    flat = " ".join(first.split())
    assert "in place of the original report's zebra" in flat
    assert "taken for: Greater Swiss Mountain dog (0.50)" in flat
    assert "mid gray is 0" in first and "input, 3 x 224 x 224" in first
    sheet = texts("activations-filters").splitlines()
    assert {str(number) for number in range(32)} <= set(sheet)
    last = texts("activations-last")
    assert "channel 9" in last and "layer4, 512 x 7 x 7" in last and "black is 0" in last
    own = texts("activations-model1-baseline")
    assert "64 x 16 x 16" in own and "channel 7" in own and "input, 3 x 32 x 32" in own
    cam = texts("grad-cam")
    for part in ("improve-best", "recognised", "mistaken", "cat (9993)", "8 x 8", "bird 0.50"):
        assert part in cam


def test_silent_channels_are_told() -> None:
    view = make_view()
    view.last_maps[3] = 0
    assert "channel 3 (silent)" in texts("activations-last", Views(photo=view))
    assert texts("activations-last", Views(photo=view)).count("silent") == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("filters, channels", [(1, 1), (5, 5), (7, 11), (20, 30)])
def test_any_number_of_filters(tmp_path: Path, filters: int, channels: int) -> None:
    view = make_view(size=32, filters=filters, channels=channels)
    for name, picture in plan_pictures(Views(photo=view)).items():
        save_figure(tmp_path / f"{name}.png", *picture)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("right, wrong", [(0, 3), (2, 0), (1, 1), (6, 9)])
def test_any_number_of_examples(tmp_path: Path, right: int, wrong: int) -> None:
    views = Views(attribution=make_attribution(right, wrong))
    save_figure(tmp_path / "cam.png", *plan_pictures(views)["grad-cam"])
    assert texts("grad-cam", views).count("none among the examples") == (not right) + (not wrong)


@pytest.mark.filterwarnings("error")
def test_a_net_that_diverged_is_drawn(tmp_path: Path) -> None:
    view = make_view(size=32, filters=8, channels=8)
    gone = replace(
        view,
        weights=np.full_like(view.weights, np.nan),
        first_maps=np.full_like(view.first_maps, np.nan),
        last_maps=np.full_like(view.last_maps, np.inf),
        probability=float("nan"),
    )
    for name, picture in plan_pictures(Views(photo=gone, own={"x": gone})).items():
        save_figure(tmp_path / f"{name}.png", *picture)


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    )
)
@settings(deadline=None)
def test_maps_stay_in_range(maps: np.ndarray) -> None:
    drawn = gray_maps(maps)
    assert drawn.shape == maps.shape and np.isfinite(drawn).all()
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_scaling() -> None:
    weights = np.zeros((3, 3, 2, 2))
    weights[0, 0, 0, 0], weights[0, 1, 1, 1] = 4.0, -2.0
    weights[1, 2, 0, 1] = 1.0
    weights[2] = 1e-6
    drawn = colour_filters(weights)
    assert drawn.shape == (3, 2, 2, 3)
    assert drawn[0, 0, 0].tolist() == [1.0, 0.5, 0.5]
    assert drawn[0, 1, 1].tolist() == [0.5, 0.25, 0.5]
    # Each filter on its own scale, but a dead one is not amplified to noise.
    assert drawn[1, 0, 1].tolist() == [0.5, 0.5, 1.0]
    assert np.allclose(drawn[2], 0.5, atol=1e-4)
    positive = gray_maps(np.array([[[0.0, 1.0]], [[2.0, 4.0]]]))
    assert positive.tolist() == [[[0.0, 1.0]], [[0.5, 1.0]]]
    signed = gray_maps(np.array([[[0.0, -1.0]], [[2.0, 4.0]]]))
    assert signed.tolist() == [[[0.5, 0.0]], [[0.75, 1.0]]]


def test_overlay_grows_brighter_with_heat() -> None:
    pixels = np.full((1, 2, 3), 128, np.uint8)
    cold, hot = overlay(pixels, np.array([[0.0, 1.0]]))[0]
    assert cold.max() < 0.3 and hot[0] > 0.7 > hot[2]


def test_nothing_to_show() -> None:
    assert plan_pictures(Views()) == {}


def shown(name: str, alt: str, *, found: list[str]) -> Markdown:
    assert alt
    found.append(name)
    return Markdown(f"![]({name})")


OF_CIFAR10 = {"dataset": CIFAR10, "of_cifar10": True, "task": lambda name: Markdown(f" ({name})")}


def test_the_section_of_the_report() -> None:
    found: list[str] = []
    page = render(
        "activations.md.j2",
        {
            "pictures": VIEWS.facts({"model1-baseline": "a hash"}),
            "figure": partial(shown, found=found),
            **OF_CIFAR10,
        },
    )
    assert found == NAMES
    assert "Greater Swiss Mountain dog** (probability 0.500" in page
    assert "dvc exp run -S visualize.image=photo.jpg" in page
    found.clear()
    page = render(
        "activations.md.j2",
        {"pictures": Views().facts({}), "figure": partial(shown, found=found), **OF_CIFAR10},
    )
    assert not found and "No net with ImageNet's weights could be had" in page
    assert "None" not in page.replace("None of our own nets", "")


def test_drawing_does_not_load_torch() -> None:
    modules = "cifar_tricks.figures.draw_activations, cifar_tricks.data.photo"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    run([sys.executable, "-c", code], check=True)
