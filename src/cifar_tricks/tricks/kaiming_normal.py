"""He-normal initial weights in place of PyTorch's default."""

from dataclasses import replace

from cifar_tricks.tricks import Call, Recipe, Trick


class KaimingNormal(Trick):
    """Draws all convolution and linear weights from N(0, 2 / fan in); biases keep the default.

    Source: He et al. (2015), Delving deep into rectifiers, section 2.2.
    """

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with ``torch.nn.init.kaiming_normal_`` for ReLU."""
        weight_init = Call("torch.nn.init.kaiming_normal_", {"nonlinearity": "relu"})
        return replace(recipe, net=replace(recipe.net, weight_init=weight_init))
