"""Rejects labels in the query that the served model does not have, naming the nearest ones."""

from collections.abc import Sequence
from difflib import get_close_matches

from ...core.errors import BadParameter
from ...detection.models import ModelInfo

NEAREST = 3
LONGEST = 80  # characters that are compared and quoted


def check(asked: Sequence[str], models: Sequence[ModelInfo]) -> None:
    """Raises BadParameter for a label that no served version has, naming the nearest ones.

    Several versions may be served at once during a rollout: a label of any is accepted. Where one
    of them does not tell its labels, none is rejected.
    """
    if not asked or not models or not all(model.labels for model in models):
        return
    known = {label for model in models for label in model.labels}
    for label in asked:
        if label not in known:
            text = label[:LONGEST]
            lower = {name.lower(): name for name in sorted(known)}
            nearest = get_close_matches(text.lower(), lower, NEAREST, cutoff=0)
            names = ", ".join(repr(lower[name]) for name in nearest)
            raise BadParameter(
                f"label: {text!r} is not a label of this model, which has {len(known)};"
                f" the nearest are {names}."
            )
