"""From a recipe, images and a seed to weights and learning curves."""
