"""Data augmentation as the original report did it: the training split, doubled once."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.recipe import Recipe
from cifar_tricks.tricks import Trick


class Augment(Trick):
    """Adds one randomly cropped and flipped copy of every training image, the same in each epoch.

    The stage ``augment`` writes the copies. A run uses those of its own training split only: the
    report drew its validation images from the doubled set, so its validation accuracies leak.

    Source: the original report, task 3b; crops and flips as in He et al. (2016), section 4.2.
    """

    padding: int = Field(4, ge=0, le=32, description="black border before the crop, in pixels")
    flip_probability: float = Field(0.5, ge=0, le=1, description="of a left-right flip")
    seed: int = Field(0, ge=0, lt=2**63, description="of the crops and flips of the copies")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe that trains on the split and its copies."""
        return replace(recipe, copies=True)
