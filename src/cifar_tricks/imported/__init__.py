"""Nets of the user's: imported, built from a seed, changed by tricks, and tried."""
