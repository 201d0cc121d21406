"""The one exception for mistakes a user can mend."""


class UserError(Exception):
    """A mistake in the input: one line that names the file, row or key, and the mend.

    The command line prints it without a traceback and exits with status 2.
    """
