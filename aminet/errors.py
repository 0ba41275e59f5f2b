"""The one error that a user's mistake raises."""


class BadInput(ValueError):
    """Bad input: one line that says what is wrong and what to do. The command line prints it and exits with 2."""

    def __str__(self) -> str:
        line = printable(super().__str__())
        return line if len(line) < 1500 else f"{line[:1000]} ... {line[-400:]}"


def printable(text: object) -> str:
    """Return text in one line, with what a terminal would obey, or could not show, escaped: files may have any name."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
