"""SGD that remembers its direction, and weight decay."""

from dataclasses import replace

from pydantic import Field

from cifar_tricks.tricks import Call, Recipe, Trick


class Momentum(Trick):
    """Nesterov's momentum in SGD, with weight decay as an L2 term in the gradient.

    Source: Sutskever et al. (2013), On the importance of initialization and momentum in deep
    learning, section 2; Krogh & Hertz (1992), A simple weight decay can improve generalization.
    """

    learning_rate: float = Field(0.05, gt=0, description="step size")
    momentum: float = Field(0.9, gt=0, lt=1, description="share of the last update that is kept")
    weight_decay: float = Field(5e-4, ge=0, description="factor of the L2 term")

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.optim.SGD`` and Nesterov's momentum."""
        arguments = {
            "lr": self.learning_rate,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "nesterov": True,
        }
        return replace(recipe, optimizer=Call("torch.optim.SGD", arguments))
