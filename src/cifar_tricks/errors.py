"""The exceptions that a stage turns into one line and an exit code."""


class UserError(Exception):
    """What went wrong and what to do, in clear words; the stage exits with code 2."""


class Interrupted(Exception):
    """SIGINT or SIGTERM came (its number is the argument), and what was done so far is saved."""
