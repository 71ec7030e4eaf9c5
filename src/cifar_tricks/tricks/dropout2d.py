"""Dropout of whole channels after every convolutional block."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class Dropout2d(Trick):
    """Zeroes each channel of the feature maps as a whole while training.

    Source: Tompson et al. (2015), Efficient object localization using convolutional networks,
    section 3.2 (SpatialDropout).
    """

    probability: float = Field(0.25, ge=0, lt=1, description="that a channel is zeroed")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.Dropout2d`` at the end of each block."""
        dropout = Call("torch.nn.Dropout2d", {"p": self.probability})
        return replace(recipe, net=replace(recipe.net, dropout=dropout))
