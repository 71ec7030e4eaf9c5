"""No trick: the net and the protocol as they are."""

from cifar_tricks.tricks import Recipe, Trick


class Baseline(Trick):
    """What every trick is compared with."""

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe unchanged."""
        return recipe
