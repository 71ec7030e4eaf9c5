"""What all other packages stand on: errors, files, locks, hashes."""
