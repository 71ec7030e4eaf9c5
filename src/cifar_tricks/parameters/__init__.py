"""From params.yaml to the recipes of all trainings."""
