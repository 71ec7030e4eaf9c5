"""A learning rate that rises from nearly nothing and falls to nothing, once."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class OneCycle(Trick):
    """Raises the learning rate in a straight line to that of the optimizer, then lowers it to zero.

    Early stopping may take the restless part in the middle for the end of all progress: give
    ``early_stop_count`` as many validations as the training has.

    Source: Smith & Topin (2018), Super-convergence, section 3.
    """

    warm_up: float = Field(0.2, gt=0, lt=1, description="fraction of all steps that it rises")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this schedule."""
        return replace(recipe, schedule=Call(f"{__name__}.triangle", {"warm_up": self.warm_up}))


def triangle(done: float, *, warm_up: float) -> float:
    """Factor on the learning rate, in (0, 1].

    Args:
        done: fraction of all steps done, in [0, 1).
        warm_up: where the factor is 1, in (0, 1).
    """
    # The first step, at 0, must move something.
    lowest = 0.01
    if done < warm_up:
        return lowest + (1 - lowest) * done / warm_up
    return (1 - done) / (1 - warm_up)
