"""API keys: who may ask for detections, when DETECT_API_KEYS_FILE says so.

`python -m service.api.auth NAME` makes a key. The file keeps only its SHA-256: a key is 256 random
bits, which nobody guesses however fast the hash, so that one made slow for people's passwords
would only make each request slow.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import Request

from .. import logs
from ..errors import Unauthorized
from ..settings import SettingsError

LINE = re.compile(r"([\w.-]{1,64})[ \t]+([0-9a-fA-F]{64})")
LOOK_S = 1.0  # the file is looked at once in this time, and only when somebody asks

Key = tuple[str, bytes]  # its owner's name, its SHA-256
Bearer = Annotated[object, Security(HTTPBearer(auto_error=False))]
Header = Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


class Keys:
    """A route's dependency: raises Unauthorized, or puts the name of the key into the log line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._look_at = time.monotonic() + LOOK_S
        self._trouble = ""
        try:
            self._seen = _stamp(path)
            self._keys = read(path)
        except (OSError, ValueError) as error:
            raise SettingsError(f"DETECT_API_KEYS_FILE={path}: {_reason(error)}") from error

    def __call__(self, request: Request, bearer: Bearer = None, header: Header = None) -> None:
        # The two schemes stand in the signature for /openapi.json; a key is read here.
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = request.headers.get("x-api-key", "")
        if not key:
            raise Unauthorized(
                "This call needs a key: send Authorization: Bearer KEY, or X-API-Key: KEY."
            )
        name = self.name(key.strip())
        if name is None:
            raise Unauthorized("This key is not known here; ask who runs this service for one.")
        request.state.fields["key"] = name

    def name(self, key: str) -> str | None:
        """Whose key it is. All are compared, whichever fits: the time says nothing about them."""
        self._look()
        asked = hashlib.sha256(key.encode()).digest()
        found = None
        for name, known in self._keys:
            if hmac.compare_digest(asked, known):
                found = name
        return found

    def _look(self) -> None:
        """Takes a changed file over. One that cannot be used leaves the last good keys in place."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        trouble = ""
        try:
            seen = _stamp(self._path)
            if seen != self._seen:
                self._keys = read(self._path)
                self._seen = seen
                logs.event("api keys", file=self._path, keys=len(self._keys))
        except (OSError, ValueError) as error:
            trouble = _reason(error)
        if trouble and trouble != self._trouble:
            told = {"file": self._path, "error": trouble, "keys": len(self._keys)}
            logs.event("api keys not read, the last ones stay", logging.ERROR, **told)
        self._trouble = trouble


def read(path: Path) -> list[Key]:
    """Lines `name sha256-hex`; empty ones and what follows a # do not count."""
    keys = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        if match is None:  # not quoted: it may be a key that was pasted here by mistake
            raise ValueError(f"line {number} is not a name and a SHA-256 in hexadecimal")
        keys.append((match[1], bytes.fromhex(match[2])))
    return keys


def _stamp(path: Path) -> object:
    """Changes whenever the file does, also when another takes its place."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return "is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def main(arguments: Sequence[str]) -> int:
    """The line to standard output, for `>> keys`; the key to the terminal, once."""
    if len(arguments) != 1 or not re.fullmatch(r"[\w.-]{1,64}", arguments[0]):
        sys.stderr.write(
            "python -m service.api.auth NAME >> FILE\n"
            "NAME: whose key it is, for the log; up to 64 letters, digits, dots, dashes or _\n"
        )
        return 2
    key = secrets.token_urlsafe(32)
    sys.stderr.write(f"The key, shown only now: {key}\n")
    sys.stdout.write(f"{arguments[0]} {hashlib.sha256(key.encode()).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
