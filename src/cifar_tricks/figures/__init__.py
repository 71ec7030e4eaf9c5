"""Pictures, and the tables behind DVC's plots."""
