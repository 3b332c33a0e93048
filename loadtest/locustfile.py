"""For locust, which has a web page and drives many machines; it is not installed with this project.

    pip install -r requirements/loadtest.txt
    locust -f loadtest/locustfile.py --host http://localhost:8000 --images DIR

A user sends its next picture when the one before is answered: a closed loop. What callers who do
not wait would see is `python -m loadtest server`'s.
"""

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


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the pictures")


@cache
def pictures(folder: str) -> list[tuple[str, bytes]]:
    """(media type, bytes) of each."""
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in TYPES)
    if not paths:
        raise SystemExit(f"--images {folder} has no picture ({', '.join(TYPES)})")
    return [(TYPES[path.suffix.lower()], path.read_bytes()) for path in paths]


class Caller(FastHttpUser):  # type: ignore[misc]
    def on_start(self) -> None:
        self.pictures = pictures(self.environment.parsed_options.images)

    @task  # type: ignore[untyped-decorator]
    def detect(self) -> None:
        media_type, data = random.choice(self.pictures)
        self.client.post("/detect", data=data, headers={"Content-Type": media_type})
