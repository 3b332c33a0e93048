"""The project's root, a free port, and the test data that is no part of the repository."""

import errno
import os
import random
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Renamed: the services that tests start would warn of a setting that they do not know. Processes
# that run tests for this one inherit the other name.
if "DETECT_TEST_DATA" in os.environ:
    os.environ["TEST_DATA"] = os.environ.pop("DETECT_TEST_DATA")
_data = os.environ.get("TEST_DATA", "")
DATA = Path(_data) if _data else None
NEEDS_DATA = "needs DETECT_TEST_DATA, see docs/internals/test-data.md"


def free_port() -> int:
    """A port that no socket has, outside the range that the system gives to others meanwhile."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("", random.randrange(10_000, 32_000)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return int(probe.getsockname()[1])
