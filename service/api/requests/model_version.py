"""The version that a request asks for: the header X-Model-Version, or a dialect's path."""

import re

from starlette.requests import Request

from ...core import versions
from ...core.errors import BadParameter, NotFound
from ...core.responses import MODEL_VERSION

NEWEST = "0"  # in a path: ovmsclient's word for no particular version


def requested(request: Request) -> str | None:
    """A number or a label; None without one. Raises BadParameter, or NotFound for a path."""
    header = request.headers.get(MODEL_VERSION)
    if header is not None:
        values = request.headers.getlist(MODEL_VERSION)
        if len(values) > 1 or not versions.is_valid(header):
            raise BadParameter(
                f"{MODEL_VERSION} is {', '.join(values)[:80]!r}; send one version number or label."
            )
    path = in_path(request)
    if header and path and header != path:
        raise BadParameter(f"{MODEL_VERSION} is {header!r}, but the path says {path!r}.")
    return header or path


def in_path(request: Request) -> str | None:
    """Raises NotFound for a number that no version can have."""
    version = request.path_params.get("version", NEWEST)
    if version == NEWEST:
        return None
    if not re.fullmatch(versions.NUMBER, version):
        raise NotFound(f"Version {version[:20]!r} is not served.")
    return str(version)
