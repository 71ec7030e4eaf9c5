"""The split, the normalisation, and that nothing of a validation image reaches training."""

import numpy as np
import pytest
import torch
from helpers.recipes import CPU, make_recipe
from helpers.synthetic_images import make_images
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.training.images import make_training_data, split_indices
from cifar_tricks.training.normalisation import Normalisation


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**62), st.integers(1, 60), st.integers(1, 40))
def test_splits_are_disjoint_and_repeatable(seed: int, train: int, validation: int) -> None:
    rows, validation_rows = split_indices(100, train=train, validation=validation, seed=seed)
    both = torch.cat([rows, validation_rows])
    assert len(both.unique()) == train + validation
    assert both.min() >= 0 and both.max() < 100
    again, _ = split_indices(100, train=train, validation=validation, seed=seed)
    assert torch.equal(rows, again)


def test_the_validation_rows_do_not_depend_on_the_size_of_the_training_split() -> None:
    small = split_indices(100, train=10, validation=20, seed=0)
    large = split_indices(100, train=80, validation=20, seed=0)
    assert torch.equal(small[1], large[1]) and torch.equal(small[0], large[0][:10])


def numbered(count: int, *, offset: int = 0) -> Arrays:
    """Images that carry their own number, so that one can tell where a pixel came from."""
    images = np.zeros((count, 3, 32, 32), dtype=np.uint8)
    images[:, 0] = np.arange(count)[:, None, None]
    images[:, 1] = offset
    return Arrays(arrays={"images": images, "labels": np.arange(count) % 10}, sha256="")


def test_copies_of_validation_images_stay_out_of_training() -> None:
    recipe = make_recipe(train_images=120, validation_images=60, copies=True)
    data = make_training_data(numbered(200), numbered(200, offset=1), recipe, seed=4, device=CPU)
    numbers = data.train.pixels[:, 0, 0, 0]
    assert len(data.train) == 240
    assert torch.equal(numbers[:120], numbers[120:])
    assert set(data.train.pixels[120:, 0, 0, 1].tolist()) == {1}
    assert set(data.validation.pixels[:, 0, 0, 1].tolist()) == {0}
    assert not set(numbers.tolist()) & set(data.validation.pixels[:, 0, 0, 0].tolist())
    assert torch.equal(data.train.labels, numbers.long() % 10)


def test_normalisation_is_that_of_the_training_split_without_copies() -> None:
    arrays = make_images(150)
    recipe = make_recipe(train_images=100, validation_images=50, copies=True)
    copies = Arrays(arrays={**arrays.arrays, "images": arrays["images"] // 2}, sha256="")
    data = make_training_data(arrays, copies, recipe, seed=0, device=CPU)
    rows, _ = split_indices(150, train=100, validation=50, seed=0)
    pixels = arrays["images"][rows.numpy()].astype(np.float64)
    assert data.normalisation.mean == pytest.approx(pixels.mean((0, 2, 3)))
    assert data.normalisation.std == pytest.approx(pixels.std((0, 2, 3)))
    batch, _ = data.train.batch(data.train.rows[:100])
    normalised = data.normalisation.to(CPU)(batch)
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-4
    assert (normalised.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_a_channel_without_variation_is_left_unscaled() -> None:
    black = torch.zeros(5, 32, 32, 3, dtype=torch.uint8)
    normaliser = Normalisation.of(black).to(CPU)
    assert torch.equal(normaliser(black.permute(0, 3, 1, 2)), torch.zeros(5, 3, 32, 32))


def test_too_few_images_and_foreign_copies_are_told() -> None:
    arrays = make_images(100)
    with pytest.raises(UserError, match="has 100 images"):
        make_training_data(arrays, None, make_recipe(), seed=0, device=CPU)
    recipe = make_recipe(train_images=50, validation_images=20, copies=True)
    for copies in (None, make_images(90)):
        with pytest.raises(UserError, match="dvc repro --force --single-item augment"):
            make_training_data(arrays, copies, recipe, seed=0, device=CPU)


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_a_row_at_a_time_normalises_to_the_same_bytes(
    size: int, layout: torch.memory_format, kind: torch.dtype
) -> None:
    normalisation = Normalisation(mean=(125.3, 122.9, 113.8), std=(62.9, 62.0, 66.7))
    images = torch.randint(0, 256, (3, 3, size, size)).to(kind).to(memory_format=layout)
    mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
    scale, shift = (values.view(1, 3, 1, 1) for values in (1 / std, -mean / std))
    found = normalisation.to(CPU)(images)
    assert torch.equal(found, torch.addcmul(shift, images.float(), scale))
    assert found.is_contiguous(memory_format=torch.channels_last)
