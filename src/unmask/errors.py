"""The one error a user is meant to read: a single line that names what is wrong and how to mend it."""


class UserError(ValueError):
    """Bad input. The command line prints the message on one line and exits with code 2, without a traceback.

    The message names the file, field or value and says how to mend it.
    """
