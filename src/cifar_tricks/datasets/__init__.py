"""The data sets that the study can train on, and how each is made from its source."""
