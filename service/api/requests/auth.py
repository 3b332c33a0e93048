"""API key authentication: the FastAPI dependency of the detection routes."""

from pathlib import Path
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import Request

from ...core.errors import Unauthorized
from ...keys import KeyFile

Bearer = Annotated[object, Security(HTTPBearer(auto_error=False))]
Header = Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


class APIKeyAuth:
    """A route's dependency: raises Unauthorized, or adds the key's owner to the log line."""

    def __init__(self, path: Path) -> None:
        self._keys = KeyFile(path)

    def __call__(self, request: Request, bearer: Bearer = None, header: Header = None) -> None:
        # The two schemes are parameters only for /openapi.json; the key is read here.
        self.authorize(request, self.header_key(request))

    @staticmethod
    def header_key(request: Request) -> str:
        """The key that the headers bring, or nothing. The third is what DOODS clients send."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return key
        names = ("x-api-key", "doods-auth-key")
        return next((request.headers[name] for name in names if name in request.headers), "")

    def authorize(self, request: Request, key: str) -> None:
        """Raises Unauthorized unless `key` is one of the file's."""
        key = key.strip()  # latin-1's no-break space too: what is left must not be empty
        if not key:
            raise Unauthorized(
                "This call needs a key: send Authorization: Bearer KEY, or X-API-Key: KEY."
            )
        owner = self._keys.owner(key)
        if owner is None:
            raise Unauthorized("Unknown API key. Ask the operator of this service for one.")
        request.state.fields["key"] = owner
