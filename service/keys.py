"""API keys: the file of hashed keys, reloaded on change; `python -m service.keys NAME` makes one.

The file holds a key's SHA-256, not the key. A key is 256 random bits, which cannot be guessed
however fast the hash is: a slow hash, meant for people's passwords, would only slow down requests.
"""

import argparse
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .core import logs
from .core.logs.settings import PREFIX, SettingsError

NAME = r"\w[\w.-]{0,63}"
LINE = re.compile(rf"({NAME})[ \t]+([0-9a-fA-F]{{64}})")
MAX_BYTES = 1024 * 1024  # about 10,000 keys
REFRESH_S = 1.0  # the file is read at most once in this time, and only when a request arrives


class KeyFile:
    """The keys of a file. A changed file is used within REFRESH_S seconds; if it cannot be used,
    the previous keys stay valid and the log says why."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError if the file cannot be used."""
        self._path = path
        self._error = ""
        self._refresh_at = time.monotonic() + REFRESH_S
        try:
            self._content = _read(path)
            self._keys = parse(self._content)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{PREFIX}API_KEYS_FILE={path}: {_reason(error)}") from error

    def owner(self, key: str) -> str | None:
        """Return the key's owner. Every key is compared, to avoid timing leaks."""
        self._refresh()
        digest = hashlib.sha256(key.encode()).digest()
        owner = None
        for name, known in self._keys:
            if hmac.compare_digest(digest, known):
                owner = name
        return owner

    def _refresh(self) -> None:
        if time.monotonic() < self._refresh_at:
            return
        self._refresh_at = time.monotonic() + REFRESH_S
        reason = ""
        try:
            # The whole content is compared: an edit in place can keep both size and time.
            content = _read(self._path)
            if content != self._content:
                self._keys = parse(content)
                self._content = content
                logs.event("API keys reloaded", file=self._path, keys=len(self._keys))
        except (OSError, ValueError) as error:
            reason = _reason(error)
        if reason and reason != self._error:
            logs.event(
                "API keys not reloaded; the previous keys stay valid",
                logging.ERROR,
                file=self._path,
                error=reason,
                keys=len(self._keys),
            )
        self._error = reason


def parse(content: bytes) -> list[tuple[str, bytes]]:
    """`(name, SHA-256)` of each line `name sha256-hex`; blank lines and # comments are skipped.

    Raises ValueError naming the first line that is wrong.
    """
    keys = []
    for number, line in enumerate(content.decode().splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        if match is None:  # not quoted: it may be a key that was pasted here by mistake
            raise ValueError(f"line {number} is not a name and a SHA-256 in hexadecimal")
        keys.append((match[1], bytes.fromhex(match[2])))
    return keys


def _read(path: Path) -> bytes:
    """A regular file's content. Never blocks, as opening a FIFO would."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("is not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: up to 64 letters, digits, dots, dashes or underscores, not starting with"
            " a dot or a dash"
        )
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the file's line to standard output and the key, once, to standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m service.keys",
        description="Make an API key: append the line on standard output to the file that"
        f" {PREFIX}API_KEYS_FILE names (>> FILE). The key itself is shown once, on standard error.",
    )
    parser.add_argument("name", type=_name, metavar="NAME", help="the key's owner, for the log")
    name = parser.parse_args(arguments).name
    key = secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"
    try:
        while line:  # unbuffered: a key whose line is lost must not be shown
            line = line[os.write(sys.stdout.fileno(), line.encode()) :]
    except OSError as error:
        parser.exit(1, f"error: the line cannot be written ({error.strerror}); no key was made.\n")
    sys.stderr.write(f"The key, shown only now: {key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
