"""Model versions by number or label, as settings and requests name them: `2`, `canary`."""

import re
from collections.abc import Sequence
from typing import NamedTuple

NUMBER = r"[1-9][0-9]{0,17}"  # TensorFlow Serving's are int64
LABEL = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"  # begins unlike a number, so that neither is ambiguous
PATTERN = f"({NUMBER}|{LABEL})"


class Share(NamedTuple):
    """A version and its percentage of the traffic, 0 to 100."""

    version: str
    percent: float


def is_valid(version: str) -> bool:
    """Whether it is a number or a label."""
    return re.fullmatch(PATTERN, version) is not None


def by_model(text: str, models: Sequence[str]) -> dict[str, str]:
    """`model=value, ...` by model; with a single model also just `value`. Raises ValueError."""
    values: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        model, _, value = entry.rpartition("=")
        if not model and len(models) > 1:
            raise ValueError(f"there are several models; write MODEL={value}")
        model = model.strip() or models[0]
        if model not in models:
            raise ValueError(f"{model!r} is not one of the models: {', '.join(models)}")
        if model in values:
            raise ValueError(f"model {model!r} is listed twice")
        values[model] = value.strip()
    return values


def versions(text: str, models: Sequence[str]) -> dict[str, str]:
    """`stable` or `coco=stable,voc=2`: the version of each model. Raises ValueError."""
    parsed = by_model(text, models)
    for version in parsed.values():
        _check(version)
    return parsed


def shares(text: str, models: Sequence[str]) -> dict[str, Share]:
    """`canary:10` or `coco=canary:10,voc=2:5`: a share of each model. Raises ValueError."""
    return {model: _share(value) for model, value in by_model(text, models).items()}


def _share(text: str) -> Share:
    version, colon, percent = text.partition(":")
    _check(version.strip())
    if not colon or not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", percent.strip()):
        raise ValueError(f"{text!r} is not VERSION:PERCENT, such as canary:10")
    if float(percent) > 100:
        raise ValueError(f"{percent.strip()} is more than 100 percent")
    return Share(version.strip(), float(percent))


def _check(version: str) -> None:
    if not is_valid(version):
        raise ValueError(
            f"{version!r} is neither a version number (from 1) nor a label (a letter, then letters,"
            " digits, '_', '.' or '-')"
        )
