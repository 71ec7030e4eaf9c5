"""The original's task 1, solved."""
