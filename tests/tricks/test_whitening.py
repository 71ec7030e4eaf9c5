"""The first convolution whitens patches of the training images, and stays as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.recipes import CPU, assert_same, make_recipe, train_all
from torch.nn import functional as F

from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import Interrupted
from cifar_tricks.training.images import make_training_data, split_indices
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.trainer import Trainer
from cifar_tricks.tricks.whitening import Whitening, patch_covariance

EPSILON = 1e-3


def whitened(kernel_size: int = 2, **changes: object) -> Recipe:
    recipe = make_recipe(validations_per_epoch=1, num_epochs=1, **changes)
    return Whitening(kernel_size=kernel_size, epsilon=EPSILON).apply(recipe)


def make_trainer(recipe: Recipe, arrays: Arrays, seed: int = 0) -> Trainer:
    data = make_training_data(arrays, None, recipe, seed=seed, device=CPU)
    return Trainer(recipe, data, seed=seed, device=CPU)


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_what_comes_out_is_uncorrelated_and_of_variance_one(
    kernel_size: int, arrays: Arrays
) -> None:
    run = make_trainer(whitened(kernel_size), arrays)
    images, _ = run.data.train.batch(run.data.train.rows)
    weights = run.net.stem.conv.weight.double()
    values = 3 * kernel_size**2
    assert torch.equal(weights[:values], -weights[values:])
    maps = F.conv2d(run.normaliser(images).double(), weights[:values])
    covariance = torch.cov(maps.transpose(0, 1).reshape(values, -1), correction=0)
    # Of the variance l of a component, l / (l + epsilon) is left; the smallest one comes last.
    assert covariance.fill_diagonal_(0).abs().max() < 1e-4
    variances = maps.transpose(0, 1).reshape(values, -1).var(1, correction=0)
    assert (variances < 1).all() and (variances > 0.9).all()
    assert (variances.diff() <= 1e-6).all()


def test_the_covariance_is_that_of_numpy(arrays: Arrays) -> None:
    data = make_training_data(arrays, None, make_recipe(), seed=0, device=CPU)
    patches = F.unfold(data.train.batch(data.train.rows[:50])[0].double(), 2)
    expected = np.cov(patches.transpose(0, 1).reshape(12, -1).numpy(), bias=True)
    assert np.allclose(patch_covariance(data.train, count=50, size=2), expected, rtol=1e-12)


def test_only_images_of_the_training_split_count(arrays: Arrays) -> None:
    recipe = whitened()
    _, validation = split_indices(300, train=192, validation=64, seed=0)
    images = arrays.arrays["images"].copy()
    images[validation.numpy()] = 255 - images[validation.numpy()]
    other = Arrays(arrays={**arrays.arrays, "images": images}, sha256="other")
    first, second = (make_trainer(recipe, each).net.state_dict() for each in (arrays, other))
    assert torch.equal(first["stem.conv.weight"], second["stem.conv.weight"])
    images[:] = images.transpose(0, 1, 3, 2)[:, ::-1]
    third = make_trainer(recipe, other).net.state_dict()
    assert not torch.equal(first["stem.conv.weight"], third["stem.conv.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_its_bias_is_trained_and_its_filters_are_not(precision: str, arrays: Arrays) -> None:
    recipe = whitened(precision=precision)
    before = make_trainer(recipe, arrays).net.state_dict()
    after = train_all(recipe, arrays, (0,))[0].weights
    assert torch.equal(before["stem.conv.weight"], after["stem.conv.weight"])
    for name in ("stem.conv.bias", "blocks.0.conv.weight", "head.weight"):
        assert not torch.equal(before[name], after[name])


def test_other_initial_weights_stay_those_of_the_net_without_it(arrays: Arrays) -> None:
    recipe = whitened()
    plain = replace(recipe, net=replace(recipe.net, stem=None), features=None)
    first, second = (make_trainer(each, arrays).net.state_dict() for each in (recipe, plain))
    assert torch.equal(first["blocks.1.conv.weight"], second["blocks.1.conv.weight"])


def test_images_without_any_contrast_do_no_harm(arrays: Arrays) -> None:
    grey = Arrays(
        arrays={**arrays.arrays, "images": np.full_like(arrays.arrays["images"], 7)}, sha256="grey"
    )
    weights = make_trainer(whitened(), grey).net.state_dict()["stem.conv.weight"]
    assert torch.isfinite(weights).all()


def test_it_is_resumed_with_its_filters(arrays: Arrays, tmp_path: Path) -> None:
    recipe, steps = whitened(precision="bf16"), []
    with pytest.raises(Interrupted):
        train_all(
            recipe,
            arrays,
            (0,),
            folder=tmp_path,
            on_step=lambda seed, progress: steps.append(progress.step),
            should_stop=lambda: steps[-1] == 5,
        )
    assert_same(
        train_all(recipe, arrays, (0,), folder=tmp_path)[0], train_all(recipe, arrays, (0,))[0]
    )
