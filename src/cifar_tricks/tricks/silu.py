"""SiLU in place of ReLU."""

from dataclasses import replace

from cifar_tricks.tricks import Call, Recipe, Trick


class SiLU(Trick):
    """Source: Hendrycks & Gimpel (2016), Gaussian error linear units, section 2; Elfwing et al.
    (2018), Sigmoid-weighted linear units."""

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.SiLU`` after every layer."""
        return replace(recipe, net=replace(recipe.net, activation=Call("torch.nn.SiLU")))
