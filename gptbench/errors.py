"""The exception for mistakes a user can mend, and its kind for faults that a check found."""


class UserError(Exception):
    """A mistake in the input: one line that names the file, row or key, and the mend.

    The command line prints it without a traceback and exits with its status.
    """

    status = 2


class FaultsFound(UserError):
    """A check did its work and found faults, which it has listed."""

    status = 1


STOPPED = "interrupted; the same command goes on from here"
"""What an interrupted command says last, also in its log."""
