"""Crops and flips against a loop over single images, and their invariants."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_tricks.training.augmentation import augment_batch, crop_and_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 5) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 32, 32), generator=generator(seed), dtype=torch.uint8)


@settings(max_examples=30, deadline=None)
@given(padding=st.integers(0, 8), seed=st.integers(0, 1000))
def test_each_result_is_one_window_of_its_padded_image_or_its_mirror(
    padding: int, seed: int
) -> None:
    batch = images(4)
    result = crop_and_flip(batch, padding=padding, flip_probability=0.5, generator=generator(seed))
    padded = torch.nn.functional.pad(batch, (padding,) * 4)
    for image, original in zip(result, padded, strict=True):
        windows = [
            original[:, top : top + 32, left : left + 32]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(
            torch.equal(image, window) or torch.equal(image, window.flip(2)) for window in windows
        )


def test_without_padding_the_flip_probability_decides() -> None:
    batch = images(6)
    never = crop_and_flip(batch, padding=0, flip_probability=0.0, generator=generator())
    always = crop_and_flip(batch, padding=0, flip_probability=1.0, generator=generator())
    assert torch.equal(never, batch)
    assert torch.equal(always, batch.flip(3))


def test_shifts_and_flips_are_spread_as_they_should() -> None:
    """A bright pixel in the middle shows where each window was cut."""
    count, padding = 4000, 4
    batch = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    batch[:, :, 16, 10] = 255
    result = crop_and_flip(batch, padding=padding, flip_probability=0.25, generator=generator())
    where = result[:, 0].flatten(1).argmax(1)
    rows, columns = where // 32, where % 32
    shifts = torch.bincount(16 + padding - rows, minlength=2 * padding + 1)
    assert shifts.numel() == 2 * padding + 1
    # Nine equally likely shifts: 444 each, standard deviation 20.
    assert (shifts - count / 9).abs().max() < 100
    flipped = (columns > 16).double().mean().item()
    assert abs(flipped - 0.25) < 0.04


def test_the_same_generator_gives_the_same_images_and_the_labels_stay() -> None:
    batch, labels = images(8), torch.arange(8)
    first, same_labels = augment_batch(
        batch, labels, padding=4, flip_probability=0.5, generator=generator(1)
    )
    second, _ = augment_batch(
        batch, labels, padding=4, flip_probability=0.5, generator=generator(1)
    )
    assert torch.equal(first, second) and torch.equal(labels, same_labels)
    assert first.is_contiguous(memory_format=torch.channels_last)
