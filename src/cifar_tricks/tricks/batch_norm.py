"""Batch normalisation after every convolution and every hidden layer."""

from dataclasses import replace

from cifar_tricks.tricks import Call, Recipe, Trick


class BatchNorm(Trick):
    """Normalises before the activation, with a learned scale and shift.

    Source: Ioffe & Szegedy (2015), Batch normalization, sections 3.2 and 3.3.
    """

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with BatchNorm2d and BatchNorm1d in the net."""
        net = replace(
            recipe.net,
            norm_2d=Call("torch.nn.BatchNorm2d"),
            norm_1d=Call("torch.nn.BatchNorm1d"),
        )
        return replace(recipe, net=net)
