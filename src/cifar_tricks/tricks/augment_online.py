"""Data augmentation as most people mean it: a fresh crop and flip of every image in every epoch."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class AugmentOnline(Trick):
    """Crops and flips each training batch at random; the number of steps stays the same.

    Source: He et al. (2016), Deep residual learning for image recognition, section 4.2.
    """

    padding: int = Field(4, ge=0, le=32, description="black border before the crop, in pixels")
    flip_probability: float = Field(0.5, ge=0, le=1, description="of a left-right flip")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with the random crop and flip as its last batch transform."""
        transform = Call(
            "cifar_tricks.augmentation.augment_batch",
            {"padding": self.padding, "flip_probability": self.flip_probability},
        )
        return replace(recipe, batch_transforms=(*recipe.batch_transforms, transform))
