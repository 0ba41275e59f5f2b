"""The one error that a user's mistake raises."""


class BadInput(ValueError):
    """Bad input: one line that says what is wrong and what to do. The command line prints it and exits with 2."""
