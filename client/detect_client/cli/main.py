"""`detect SOURCE` and `detect bulk`: reads the command line and picks what handles the source."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..client import Client
from ..errors import DetectError
from . import folder, formats
from .options import Options, Stop, add_query, add_service

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where something could not be detected, 2 for a wrong command line."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] in (["bulk"], ["bulk-export"]):
            return _bulk(*words)
        return _run(_parse(words))
    except (DetectError, Stop) as error:
        print(f"detect: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndetect: interrupted; the same command continues from here", file=sys.stderr)
        return 130


def _bulk(command: str, *arguments: str) -> int:
    try:
        from .bulk import command as commands  # needs PyArrow
    except ImportError as error:
        raise Stop("bulk needs PyArrow: pip install 'detect-client[bulk]'") from error
    return commands.bulk(arguments) if command == "bulk" else commands.bulk_export(arguments)


def _run(options: Options) -> int:
    source = Path(options.source)
    if source.is_dir():
        return folder.run(options)
    with Client(options.url, key=options.key, timeout_s=options.timeout_s) as client:
        return _picture_or_video(client, source, options)


def _picture_or_video(client: Client, source: Path, options: Options) -> int:
    if source.suffix.lower() in PICTURES and "://" not in options.source:
        result = client.detect(source, **options.query())
        if options.out is None:
            print(json.dumps(result.to_dict(), ensure_ascii=False))
        else:
            result.draw().save(options.out, quality=90)
        return 0
    from . import video  # needs PyAV

    return video.run(client, options)


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        "detect",
        description="Detect objects in a picture, a folder, a video file or a camera.",
        epilog="For millions of pictures, also in buckets: detect bulk --help, bulk-export --help",
    )
    add = parser.add_argument
    add("source", help="picture, folder, video file, device or stream (rtsp://, http://)")
    add("--version", action="version", version=f"detect-client {__version__}")
    add_service(parser)
    add(
        "--out",
        type=Path,
        metavar="PATH",
        help="output file or folder; a picture's default is JSON on standard output",
    )
    add("--format", choices=formats.NAMES, help="folder output (default: by the ending of --out)")
    add_query(parser)
    add(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotations: --format coco then writes a results file with their ids",
    )
    add("--fresh", action="store_true", help="ignore what an earlier run of this command finished")
    add(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="video: only every Nth frame (default: all)",
    )
    add(
        "--on",
        action="append",
        default=[],
        metavar="LABEL",
        help="video: call --post when this label appears",
    )
    add("--post", metavar="URL", help="video: webhook for --on, called with JSON")
    add(
        "--cooldown",
        type=float,
        default=60.0,
        dest="cooldown_s",
        metavar="S",
        help="seconds between two calls of the webhook for one label (default: %(default)s)",
    )
    options = parser.parse_args(arguments, Options())
    if bool(options.on) != bool(options.post):
        parser.error("--on and --post go together")
    if options.every < 1 or options.in_flight < 1:
        parser.error("--every and --in-flight are at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
