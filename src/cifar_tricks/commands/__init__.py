"""What a user calls: one file for each command of `python -m cifar_tricks`."""
