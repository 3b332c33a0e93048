"""Load tests and accuracy of a detection service, over HTTP."""


class CommandError(Exception):
    """One sentence: what was wrong, where, and what to do. The command exits with status 1."""
