"""What the trained nets answer to the test images."""
