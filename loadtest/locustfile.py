"""For Locust, which has a web UI and distributed load. `--images` is required.

    pip install -r requirements/loadtest.txt
    locust -f loadtest/locustfile.py --host http://localhost:8000 --images DIR

DETECT_API_KEY is sent as the API key. A user sends its next picture once the previous one is
answered: a closed loop, which hides stalls. `python -m loadtest server` is the open loop.
"""

import os
import random
from argparse import ArgumentParser
from functools import cache
from pathlib import Path

from locust import FastHttpUser, events, task  # type: ignore[import-not-found]

TYPES = {
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".png": "image/png",
    ".webp": "image/webp",
}
KEY = os.environ.get("DETECT_API_KEY")
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"} if KEY else {}


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--images", required=True, metavar="DIR", help="directory of pictures")


@cache
def pictures(folder: str) -> list[tuple[str, bytes]]:
    """(media type, content) of each picture."""
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in TYPES)
    if not paths:
        raise SystemExit(f"--images {folder} has no pictures ({', '.join(TYPES)})")
    return [(TYPES[path.suffix.lower()], path.read_bytes()) for path in paths]


class Caller(FastHttpUser):  # type: ignore[misc]
    def on_start(self) -> None:
        self.pictures = pictures(self.environment.parsed_options.images)

    @task  # type: ignore[untyped-decorator]
    def detect(self) -> None:
        media_type, data = random.choice(self.pictures)
        headers = {"Content-Type": media_type, **AUTHORIZATION}
        self.client.post("/detect", data=data, headers=headers)
