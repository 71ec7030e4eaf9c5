"""What the trained nets answer to the test images."""

# The folder of a trained net to use, see classifier.py.
CARD, DESCRIPTION, WEIGHTS = "card.md", "model.json", "model.safetensors"
