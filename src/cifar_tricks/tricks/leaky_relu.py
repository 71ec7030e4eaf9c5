"""Leaky ReLU in place of ReLU."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class LeakyReLU(Trick):
    """Lets a fraction of negative inputs through, so that no unit's gradient is zero for good.

    Source: Maas et al. (2013), Rectifier nonlinearities improve neural network acoustic models.
    """

    negative_slope: float = Field(0.1, ge=0, le=1, description="factor on negative inputs")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.LeakyReLU`` after every layer."""
        activation = Call("torch.nn.LeakyReLU", {"negative_slope": self.negative_slope})
        return replace(recipe, net=replace(recipe.net, activation=activation))
