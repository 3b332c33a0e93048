"""What ends a command of `python -m loadtest` before its time."""


class Stopped(Exception):
    """One sentence: what was wrong, where, and what to do. The command ends with status 1."""
