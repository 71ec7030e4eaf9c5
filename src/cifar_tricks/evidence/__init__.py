"""What the results say: effects, intervals, verdicts."""
