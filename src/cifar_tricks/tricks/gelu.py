"""GELU in place of ReLU."""

from dataclasses import replace

from cifar_tricks.tricks import Call, Recipe, Trick


class GELU(Trick):
    """Source: Hendrycks & Gimpel (2016), Gaussian error linear units."""

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.GELU`` after every layer."""
        return replace(recipe, net=replace(recipe.net, activation=Call("torch.nn.GELU")))
