"""What a user is meant to read when work ends early: a single line that says why and how to go on."""


class UserError(ValueError):
    """Bad input. The command line prints the message on one line and exits with code 2, without a traceback.

    The message names the file, field or value and says how to mend it.
    """


class PreemptionError(Exception):
    """SIGTERM came. The command line prints the message, which says how to go on, and exits with code 143."""
