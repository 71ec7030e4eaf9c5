"""Targets that are a little less sure than the labels."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class LabelSmoothing(Trick):
    """Spreads a share of each label over all classes in the training loss.

    Validation losses stay those of the true labels, and so does early stopping.

    Source: Szegedy et al. (2016), Rethinking the Inception architecture, section 7.
    """

    smoothing: float = Field(0.1, ge=0, lt=1, description="share that is spread")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with smoothed targets in its cross-entropy."""
        arguments = {**recipe.loss.arguments, "label_smoothing": self.smoothing}
        return replace(recipe, loss=Call(recipe.loss.target, arguments))
