"""AVIF, HEIC and large WebP to JPEG, in a process of their own with a limit on its memory.

The decoders of AVIF and HEIC allocate what the compressed stream asks for, whatever size the file's
header says, and are large C libraries for rare formats: neither may end the gateway. Pillow's WebP
decoder holds the GIL while it copies all pixels, and the event loop would wait.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from PIL import AvifImagePlugin

from ...core.errors import BadPicture, DeadlineExceeded
from . import pixels
from .image import Header, pillow_header

PACKAGES = Path(__file__).parents[3]
# What Python may need to find its libraries; API keys and the like stay here.
VARIABLES = {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}


def to_jpeg(data: bytes, header: Header, deadline: float) -> pixels.Picture:
    """An upright JPEG of the picture's size. It takes 0.2 s longer than decoding in this process.

    Raises BadPicture where the pixels are damaged or take more than `pixels.decoding_bytes(header)`
    bytes, DeadlineExceeded at `deadline` (`time.perf_counter()`).
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(pixels.decoding_bytes(header))],
            input=data,
            capture_output=True,
            cwd=PACKAGES,
            env=_environment(),
            timeout=max(0.0, deadline - time.perf_counter()),
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded("The picture was not decoded in time.") from error
    if done.returncode:
        raise BadPicture("The picture's data is damaged, or larger than its header says.")
    return pixels.Picture(done.stdout, *header.shown)


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in VARIABLES & os.environ.keys()}
    return inherited | {"MALLOC_ARENA_MAX": "1"}  # an arena takes 64 MiB of addresses


def main() -> None:
    """In the new process: from standard input to standard output, within so many bytes."""
    data = sys.stdin.buffer.read()
    header = pillow_header(data)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.stdout.buffer.write(pixels.normalize_orientation(data, header).data)


if __name__ == "__main__":
    main()
