"""Max-pooling over the whole of the last feature maps."""

from dataclasses import replace

from cifar_tricks.tricks import Recipe, Trick


class GlobalPooling(Trick):
    """The fully connected layers see one value for each channel, its largest.

    Source: Lin et al. (2014), Network in network, section 3.2, with the mean in place of the
    maximum; Page (2018), How to train your ResNet, part 3.
    """

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this pooling before the fully connected layers."""
        return replace(recipe, net=replace(recipe.net, pool_all=True))
