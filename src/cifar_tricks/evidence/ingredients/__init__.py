"""What each ingredient of a recipe is worth: records to comparisons, and these to cells."""
