"""Dropout of single elements after every convolutional block."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class Dropout(Trick):
    """Zeroes each element of the feature maps independently while training.

    The report does not say whether it dropped elements or channels: see :mod:`.dropout2d`.

    Source: Srivastava et al. (2014), Dropout; the original report, task 3b.
    """

    probability: float = Field(0.25, ge=0, lt=1, description="that an element is zeroed")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.Dropout`` at the end of each block."""
        dropout = Call("torch.nn.Dropout", {"p": self.probability})
        return replace(recipe, net=replace(recipe.net, dropout=dropout))
