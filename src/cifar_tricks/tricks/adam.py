"""Adam in place of plain SGD."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class Adam(Trick):
    """Adam with weight decay as an L2 term in the gradient (not decoupled as in AdamW).

    Source: Kingma & Ba (2015), Adam; the original report, task 3b.
    """

    learning_rate: float = Field(1e-3, gt=0, description="step size")
    weight_decay: float = Field(1e-5, ge=0, description="factor of the L2 term")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.optim.Adam``."""
        arguments = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        return replace(recipe, optimizer=Call("torch.optim.Adam", arguments))
