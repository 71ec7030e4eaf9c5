"""MLflow: every run logged once, the best net registered."""
