"""Errors and warnings that the command line prints as one sentence."""


class ModelError(Exception):
    """What was wrong with the user's files or arguments, where, and what to do about it."""


class DownloadError(ModelError):
    """No source of the official weights answered."""


class IntegrityError(ModelError):
    """A file is not the expected one: its size or SHA-256 differs."""


class LayerError(ModelError):
    """A layer does not fit those before it. `index` is the layer's, counted from 0."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"layer {index}: {reason}")
        self.index = index
        self.reason = reason


class ModelWarning(UserWarning):
    """A problem with a model that is exported nevertheless."""
